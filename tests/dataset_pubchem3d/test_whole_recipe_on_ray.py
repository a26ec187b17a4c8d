"""The recipe of PubChem3D on a Ray cluster gives the bytes of the local engine, also if a machine is lost."""

import pytest

from .miniature.offline import Offline
from .test_whole_recipe import contents


@pytest.mark.slow
def test_the_recipe_on_ray_gives_the_same_bytes(tmp_path, ray_cluster):
    offline = Offline(tmp_path)
    offline.build("local")
    offline.build("on_ray", "--engine", "ray")
    assert contents(tmp_path / "on_ray") == contents(tmp_path / "local")
    node = ray_cluster.add_node(num_cpus=2)
    process = offline.start("with_loss", "--engine", "ray")
    work = tmp_path / ".with_loss.work"
    while not [*work.glob("geometries_*/*.parquet")]:
        assert process.poll() is None, process.communicate()[0]
    ray_cluster.remove_node(node, allow_graceful=False)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    offline.close()
    assert contents(tmp_path / "with_loss") == contents(tmp_path / "local")
