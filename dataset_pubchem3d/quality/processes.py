"""`map`, in this process or in several."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def mapper(num_proc: int) -> Iterator[Callable]:
    """What maps a function as `map` does, results in the order of the arguments; a single process is this one."""
    if num_proc == 1:
        yield map
        return
    spawn = get_context("spawn")  # a forked process would inherit Arrow's threads half alive
    with ProcessPoolExecutor(num_proc, mp_context=spawn) as pool:
        yield pool.map
