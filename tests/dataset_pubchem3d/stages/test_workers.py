"""Worker processes have the chemistry of `modeling_geomclip` without its models.

They import this file, so it imports the package in functions.
"""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from typing import Any

import pytest

from dataset_pubchem3d.stages.workers import Workers


def run_workers(function: Callable[[Any], Any], arguments: list[Any], has_server: bool = False) -> list[Any]:
    """Run a function in two workers of a new process, which has started a fork server of its own before, or not."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run_workers, function, arguments, has_server).result()


def _run_workers(function: Callable[[Any], Any], arguments: list[Any], has_server: bool) -> list[Any]:
    if has_server:
        forkserver.ensure_running()
    with Workers(2) as workers:
        return list(workers.run(function, arguments))


def describe_worker(smiles: str) -> tuple[int, bool, int]:
    """Return the number of atoms of a molecule, whether torch is imported, and the number of frozen objects."""
    from modeling_geomclip.molecules_geomclip import read_molecule

    return len(read_molecule(smiles)["atomic_numbers"]), "torch" in sys.modules, gc.get_freeze_count()


def name_classes(attribute: str) -> tuple[str, str, bool]:
    """Return the names of a class of the package and of a configuration that transformers finds; look for another."""
    from transformers import AutoConfig

    import modeling_geomclip

    name = getattr(modeling_geomclip, attribute).__name__
    return name, type(AutoConfig.for_model("geomclip")).__name__, hasattr(modeling_geomclip, "Unknown")


@pytest.mark.parametrize("has_server", [False, True])
def test_workers_read_molecules_without_the_models(has_server):
    for atoms, has_torch, frozen in run_workers(describe_worker, ["CCO"] * 4, has_server):
        assert atoms == 9
        assert not has_torch
        assert frozen > 10_000


def test_their_errors_are_those_of_the_package():
    from modeling_geomclip import MoleculeError

    with pytest.raises(MoleculeError, match="C1CC"):
        run_workers(describe_worker, ["C1CC"])


def test_the_models_are_imported_where_they_are_needed():
    assert run_workers(name_classes, ["GeomCLIPModel"]) == [("GeomCLIPModel", "GeomCLIPConfig", False)]
