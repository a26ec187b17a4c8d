import os

import pytest

from dataset_pubchem3d.quality.processes import mapper


def process_id(_):
    return os.getpid()


@pytest.mark.parametrize("num_proc", [1, 2])
def test_results_come_in_the_order_of_the_arguments(num_proc):
    with mapper(num_proc) as run:
        assert list(run(abs, range(-9, 0))) == list(range(9, 0, -1))


def test_a_single_process_is_this_one():
    with mapper(1) as run:
        assert set(run(process_id, range(3))) == {os.getpid()}
