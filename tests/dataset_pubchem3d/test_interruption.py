"""Builds that are killed, run out of disk space or get broken files publish nothing incomplete and lose no work."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import threading
import time
from dataclasses import replace

import pytest
from tqdm import tqdm

from dataset_pubchem3d.build import build
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.sources.pubchem_extras import PubChemExtras
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.stages import parse, windows

KILLS = 20


@pytest.fixture
def many_parts(monkeypatch):
    """Make parts and windows so small that the small world has dozens of them."""
    monkeypatch.setattr(parse, "CHUNK", 2)
    monkeypatch.setattr(windows, "WINDOW", 2)


@pytest.fixture(scope="module")
def recipe(world):
    recipe = Recipe.from_yaml(world / "recipe.yaml")
    return replace(recipe, geometries=(*recipe.geometries, RDKitConformers()), min_words=1)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def build_alone(recipe, out):
    tqdm.set_lock(threading.RLock())  # a kill would leave the lock that forks share locked forever
    build(recipe, out)


def build_in_a_process(recipe, out):
    process = multiprocessing.get_context("fork").Process(target=build_alone, args=(recipe, out))
    process.start()
    return process


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # a warning about forking with threads, of which none run here
def test_a_build_killed_at_random_moments_gives_the_same_bytes(recipe, many_parts, tmp_path):
    start = time.monotonic()
    build(recipe, tmp_path / "undisturbed")
    duration, expected = time.monotonic() - start, contents(tmp_path / "undisturbed")
    moments, kills, out = random.Random(0), 0, tmp_path / "killed"
    while kills < KILLS:
        process = build_in_a_process(recipe, out)
        process.join(moments.uniform(0, duration / 3))  # so that a build is killed several times before it ends
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            assert not out.exists() or contents(out) == expected
        else:
            assert process.exitcode == 0
            assert contents(out) == expected
            shutil.rmtree(out)
            shutil.rmtree(tmp_path / ".killed.work")
    build(recipe, out)
    assert contents(out) == expected
    assert {path.name for path in tmp_path.iterdir()} == {
        *("undisturbed", ".undisturbed.work"),
        *("killed", ".killed.work"),
    }


def limit_file_size(recipe, out, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        build(recipe, out)
    except OSError:
        os._exit(28)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("limit", [2000, 20000])
def test_a_full_disk_corrupts_nothing(recipe, many_parts, tmp_path, limit):
    build(recipe, tmp_path / "undisturbed")
    out = tmp_path / "starved"
    process = multiprocessing.get_context("fork").Process(target=limit_file_size, args=(recipe, out, limit))
    process.start()
    process.join()
    assert process.exitcode == 28
    assert not out.exists()
    build(recipe, out)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_truncated_file_is_named_and_read_again_once_it_is_complete(recipe, world, many_parts, tmp_path):
    shutil.copytree(world / "extras", tmp_path / "extras")
    file = tmp_path / "extras" / "CID-SMILES.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    recipe = replace(recipe, structures=PubChemExtras(path=str(tmp_path / "extras")))
    with pytest.raises((OSError, ValueError), match=r"CID-SMILES\.gz"):
        build(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    texts = contents(tmp_path / ".out.work" / "texts_pubchem_text")
    file.write_bytes(whole)
    build(recipe, tmp_path / "out")
    assert contents(tmp_path / ".out.work" / "texts_pubchem_text") == texts
    undisturbed = replace(recipe)
    build(undisturbed, tmp_path / "other")
    assert contents(tmp_path / "out") == contents(tmp_path / "other")
