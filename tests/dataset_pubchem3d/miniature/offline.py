"""Commands that run the recipe of PubChem3D against the servers of a miniature world."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from . import offline_build
from .server import HUB, Miniature
from .traps import set_traps
from .world import KEPT, World, populate

ROOT = Path(__file__).parents[3]
ADDED = [{"source": "pubchemqc", "fetch_by": "cid"}, {"source": "geom"}]  # sources that the recipe lacks
LISTED = range(0, 200, 10)  # of the world's molecules, those of a benchmark


class Offline:
    """Runs commands against the servers of a world."""

    def __init__(self, folder: Path):
        self.folder, self.packages = folder, folder / "packages"
        self.world = World()
        populate(self.world)
        set_traps(self.world)
        self.server = Miniature(self.world, offline_build.tell_time, self.packages)
        self.recipe = folder / "recipe.yaml"
        settings = yaml.safe_load((ROOT / "configs" / "data" / "pubchem3d.yaml").read_text(encoding="utf-8"))
        settings["geometries"] += ADDED
        settings["benchmarks"] = {"held": str(self.write_benchmark())}
        self.recipe.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def write_benchmark(self) -> Path:
        """List some molecules by their InChIKey, one of them with the text of a molecule that is not listed."""
        listed, file = [self.world.molecules[number].inchikey for number in LISTED], self.folder / "held.tsv"
        unlisted = self.world.molecules[LISTED[-1] + 1]
        self.listed_text = next(t.cleaned for t in self.world.texts if t.molecule is unlisted and t.stage == KEPT)
        lines = [f"{key}\t" for key in listed[:-1]] + [f"{listed[-1]}\t{self.listed_text.upper()}"]
        file.write_text("\n".join(["inchikey\ttext", *lines]) + "\n", encoding="utf-8")
        return file

    def start(self, out: str, *flags: str) -> subprocess.Popen:
        """Start to build the recipe, in a process group of its own; its first line says that all is imported."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.packages)]),
            "HF_ENDPOINT": self.server.url(HUB),
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(self.folder / "hub"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        arguments = ["build", "--config", self.recipe.name, "--out", out, "--num-proc", "2", *flags]
        script = [sys.executable, offline_build.__file__, self.server.url("")]
        return subprocess.Popen(
            [*script, self.server.sdf_md5, *arguments],
            env=environment,
            cwd=self.folder,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def build(self, out: str, *flags: str) -> str:
        """Build the recipe in a process and return what it prints."""
        process = self.start(out, *flags)
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed
