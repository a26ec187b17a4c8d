import os
import signal
import time

import pytest

from dataset_pubchem3d.quality.processes import open_mapper


def process_id(_):
    return os.getpid()


@pytest.mark.parametrize("num_proc", [1, 2])
def test_results_come_in_the_order_of_the_arguments(num_proc):
    with open_mapper(num_proc) as run:
        assert list(run(abs, range(-9, 0))) == list(range(9, 0, -1))


def test_a_single_process_is_the_current_one():
    with open_mapper(1) as run:
        assert set(run(process_id, range(3))) == {os.getpid()}


def test_ctrl_c_is_left_to_the_parent():
    with open_mapper(2) as run:
        assert list(run(signal.getsignal, [signal.SIGINT])) == [signal.SIG_IGN]


def start_much_and_end_early():
    with open_mapper(2) as run:
        next(run(time.sleep, [0.05] * 10_000))
        raise KeyboardInterrupt


def test_pending_tasks_are_cancelled_when_the_block_ends_early():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        start_much_and_end_early()
    assert time.monotonic() - start < 60  # of the 250 s that all tasks take
