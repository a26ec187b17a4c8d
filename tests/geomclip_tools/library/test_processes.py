"""A task that ends its process is told apart, and the others are not affected."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dataset_pubchem3d.stages.workers import LAZY_MODELS
from geomclip_tools.library.processes import PRELOADED, ProcessEnded, Processes


def test_results_and_errors_of_processes_return():
    with Processes(1, budget=60) as processes:
        good, bad = processes.submit(pow, 2, 5), processes.submit(int, "x")
        assert good.result() == 32
        with pytest.raises(ValueError, match="invalid literal"):
            bad.result()
        own = processes.submit(os.getpid).result()
        assert own != os.getpid()
        killed, later = processes.submit(os.kill, own, signal.SIGKILL), processes.submit(pow, 3, 2)
        with pytest.raises(ProcessEnded, match="ended with status -9"):
            killed.result()
        assert later.result() == 9


def test_a_task_that_uses_up_its_processor_time_ends_its_process():
    with Processes(1, budget=1.5) as processes:
        asleep, long, later = (
            processes.submit(time.sleep, 2),
            processes.submit(sum, range(10**12)),
            processes.submit(pow, 2, 3),
        )
        assert asleep.result() is None  # wall time does not count
        with pytest.raises(ProcessEnded, match=r"more than 1\.5 s of processor time"):
            long.result()
        assert later.result() == 8


def test_without_processes_tasks_run_at_once():
    with Processes(0, budget=1) as processes:
        assert processes.submit(os.getpid).result() == os.getpid()
        with pytest.raises(ZeroDivisionError):
            processes.submit(divmod, 1, 0).result()


def test_processes_import_no_models():
    code = f"import {LAZY_MODELS}, {', '.join(PRELOADED)}, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
