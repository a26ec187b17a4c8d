"""`map`, in this process or in several."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from ..stages.stage import choose_context, leave_with_parent


@contextmanager
def open_mapper(num_proc: int) -> Iterator[Callable]:
    """What maps a function as `map` does, results in the order of the arguments; a single process is this one."""
    if num_proc == 1:
        yield map
        return
    pool = ProcessPoolExecutor(num_proc, mp_context=choose_context(), initializer=leave_with_parent)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all that was asked for
