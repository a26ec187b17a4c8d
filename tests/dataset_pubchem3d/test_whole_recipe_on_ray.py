"""The recipe of PubChem3D on a Ray cluster gives the bytes of the local engine, also if a machine is lost."""

import subprocess
import time

import pytest

from .miniature.offline import Offline
from .test_whole_recipe import contents

DEADLINE = 300  # s


@pytest.fixture
def offline(tmp_path):
    offline = Offline(tmp_path)
    yield offline
    offline.close()


@pytest.mark.slow
def test_the_recipe_on_ray_gives_the_same_bytes(tmp_path, offline, ray_cluster):
    offline.build("local")
    offline.build("on_ray", "--engine", "ray")
    assert contents(tmp_path / "on_ray") == contents(tmp_path / "local")
    node = ray_cluster.add_node(num_cpus=6)  # it gets most tasks, as many as are in flight
    process = offline.start("with_loss", "--engine", "ray")
    work, start = tmp_path / ".with_loss.work", time.monotonic()
    while not [*work.glob("geometries_*/*.parquet")]:
        assert process.poll() is None
        assert time.monotonic() < start + DEADLINE
        time.sleep(0.02)
    ray_cluster.remove_node(node, allow_graceful=False)
    try:
        printed, _ = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, printed
    assert contents(tmp_path / "with_loss") == contents(tmp_path / "local")
