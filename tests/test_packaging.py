"""An installation contains the three packages with their data, the command, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("modeling_geomclip", "dataset_pubchem3d", "geomclip_tools")
SOURCES = ("eval", *PACKAGES, "configs")
AT_THE_ROOT = {
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "MANIFEST.in",
    "PKG-INFO",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "setup.cfg",  # written by setuptools
    "setup.py",
    "train_accelerate.py",
}
pytestmark = pytest.mark.slow


def list_tracked(*folders: str) -> list[str]:
    """List the files of a clone, including untracked ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [file for file in files if (ROOT / file).is_file()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """Copy the sources, since a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("clone")
    files = list_tracked()
    assert len(files) > 300
    for file in files:
        if not file.startswith("release/"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((ROOT / file).read_bytes())
    return folder


def build(clone: Path, hook: str) -> Path:
    """Run a PEP 517 hook of setuptools and return the file that it builds."""
    code = f"from setuptools import build_meta; print(build_meta.{hook}('dist'))"
    result = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return clone / "dist" / result.stdout.splitlines()[-1]


def test_a_wheel_holds_the_packages_their_data_and_the_command(clone):
    with zipfile.ZipFile(build(clone, "build_wheel")) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "geomclip = geomclip_tools.cli:main" in wheel.read(points).decode()
    expected = {*list_tracked(*PACKAGES)}
    expected |= {f"geomclip_tools/{file}" for file in list_tracked("configs") if not file.endswith(".md")}
    assert found == expected


def test_a_source_distribution_holds_what_a_wheel_is_made_of_and_the_doors(clone):
    with tarfile.open(build(clone, "build_sdist")) as archive:
        found = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    found = {name for name in found if not name.startswith("geomclip.egg-info/")}
    expected = {file for file in list_tracked(*SOURCES) if not file.startswith("configs/") or not file.endswith(".md")}
    assert found == expected | AT_THE_ROOT
