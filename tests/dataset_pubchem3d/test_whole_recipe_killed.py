"""The recipe of PubChem3D, killed at random moments and resumed, against the servers of the miniature world."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from .miniature.offline import Offline
from .test_whole_recipe import contents

KILLS = 20


def wait_until_imported(process):
    assert process.stdout.readline().endswith("is imported\n")


@pytest.mark.slow
def test_the_recipe_killed_at_random_moments_gives_the_same_bytes(tmp_path):
    offline, moments, kills = Offline(tmp_path), random.Random(0), []
    process = offline.start("undisturbed")
    wait_until_imported(process)
    start = time.monotonic()
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    duration, expected, out = time.monotonic() - start, contents(tmp_path / "undisturbed"), tmp_path / "killed"
    while len(kills) < KILLS:
        offline.server.upset()
        num_asked = len(offline.server.requests)
        process = offline.start("killed")
        wait_until_imported(process)
        try:
            printed, _ = process.communicate(timeout=moments.uniform(0, duration / 3))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills.append(len(offline.server.requests) - num_asked)
            assert not out.exists() or contents(out) == expected
        else:
            assert process.returncode == 0, printed
            assert contents(out) == expected
            shutil.rmtree(out)
            shutil.rmtree(tmp_path / ".killed.work")
    offline.build("killed")
    offline.close()
    assert contents(out) == expected
    assert any(kills)  # some of them while it was fetching
    assert not list(tmp_path.glob(".killed.[!w]*"))
