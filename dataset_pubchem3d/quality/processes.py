"""`map` over one or several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from ..stages.workers import PRELOADED, choose_context, prepare_worker


@contextmanager
def open_mapper(num_proc: int) -> Iterator[Callable]:
    """Yield a replacement for `map` that uses `num_proc` processes and keeps the order; with 1, `map` itself."""
    if num_proc == 1:
        yield map
        return
    pool = ProcessPoolExecutor(num_proc, mp_context=choose_context(PRELOADED), initializer=prepare_worker)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)  # otherwise Ctrl-C would wait for all pending tasks
