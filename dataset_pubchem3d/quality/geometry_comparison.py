"""Measure how far RDKit conformers are from the stored geometries.

The molecule is perceived from the stored geometry, including its stereochemistry, so that a conformer differs from the
stored geometry only in shape.

Source: `conformers_geomclip.py`, for the settings of ETKDGv3 and MMFF94 (Wang et al., JCIM 2020; Tosco et al.,
J. Cheminform. 2014). Differs: the atoms keep the order of the geometry, which leads to other random conformers.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign, rdMolDescriptors
from rdkit.rdBase import BlockLogs
from tqdm import tqdm

from modeling_geomclip.conformers_geomclip import ITERATIONS, MINIMISATION_STEPS

from ..chemistry.perception import assign_stereo
from ..records import RecordError
from .stored_molecules import read_stored_molecule

MAX_SYMMETRIES = 10_000
# Resonant end atoms (carboxylate, nitro, phosphate, sulfonate, amidinate): equivalent, whichever has the charge.
RESONANT_ENDS = Chem.MolFromSmarts("[O,S,N;D1;-]-*=[O,S,N;D1;H0]")
ROTATABLE_BINS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4-6": (4, 6), "7 or more": (7, 10_000)}
THRESHOLDS = (0.5, 1.0)  # Å
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of a stored geometry with RDKit conformers of its molecule.

    Attributes:
        record_id: InChIKey and geometry id.
        method: level of theory of the stored geometry.
        num_rotatable: number of rotatable bonds.
        num_conformers: number of conformers with the stereochemistry of the geometry; the others are ignored.
        rmsd_first, rmsd_best: heavy-atom RMSD (Å) of the first and of the closest conformer; None after a `failure`.
        is_upper_bound: whether the molecule has more symmetries than were tried.
        failure, detail: why the comparison failed; None and "" if it succeeded.
    """

    record_id: str
    method: str
    num_rotatable: int | None = None
    num_conformers: int = 0
    rmsd_first: float | None = None
    rmsd_best: float | None = None
    is_upper_bound: bool = False
    failure: str | None = None
    detail: str = ""


def compare_geometries(
    rows: list[dict], num_conformers: int = 10, seed: int = 42, run: Callable = map
) -> list[Comparison]:
    """Compare the geometry of each row with RDKit conformers.

    Args:
        rows: rows with the columns of `sampling.COLUMNS`.
        num_conformers: number of conformers per molecule; the first is the same as if only one were made.
        seed: seed of the conformers, at least 1.
        run: `map`, or an equivalent that uses several processes.
    Returns:
        One comparison per row, in order.
    Raises:
        ValueError: `seed` is not positive.
    """
    if seed < 1:
        raise ValueError(
            f"seed is {seed}; it must be at least 1, because RDKit multiplies it by the number of the conformer"
        )
    compared = run(partial(compare_geometry, num_conformers=num_conformers, seed=seed), rows)
    return list(tqdm(compared, total=len(rows), desc="comparing geometries", unit=" molecules"))


def compare_geometry(row: dict, num_conformers: int, seed: int) -> Comparison:
    """Compare the geometry of one row; if that is impossible, `failure` tells why."""
    record_id, method = f"{row['inchikey']} {row['geometry_id']}", str(row["geometry_method"])
    try:
        with BlockLogs():
            stored = read_stored_molecule(row, record_id)
            made = make_conformers(stored, num_conformers, seed, record_id)
            same = _select_same_stereo(made)
            if not same:
                raise RecordError(record_id, "no conformer has the stereochemistry of the geometry")
            rmsds, is_complete = measure_rmsds(made, stored, same)
    except RecordError as error:
        return Comparison(record_id, method, failure=error.reason, detail=error.detail)
    num_rotatable = rdMolDescriptors.CalcNumRotatableBonds(Chem.RemoveHs(stored))  # with explicit H, O-H would count
    return Comparison(record_id, method, num_rotatable, len(same), rmsds[0], min(rmsds), not is_complete)


def make_conformers(mol: Chem.Mol, num_conformers: int, seed: int, record_id: str) -> Chem.Mol:
    """Return a copy of `mol` with RDKit conformers (ETKDGv3, then MMFF94, or UFF if MMFF94 lacks parameters).

    Raises:
        RecordError: RDKit cannot embed the molecule, or no force field has its parameters.
    """
    made = Chem.Mol(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = seed, ITERATIONS
    try:
        if not rdDistGeom.EmbedMultipleConfs(made, num_conformers, parameters):
            parameters.useRandomCoords = True
            rdDistGeom.EmbedMultipleConfs(made, num_conformers, parameters)
        if made.GetNumConformers() == 0:
            raise RecordError(record_id, "ETKDGv3 finds no conformer")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(made):
            rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(made, maxIters=MINIMISATION_STEPS)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(made):
            rdForceFieldHelpers.UFFOptimizeMoleculeConfs(made, maxIters=MINIMISATION_STEPS)
        else:
            raise RecordError(record_id, "neither MMFF94 nor UFF has its parameters")
    except RuntimeError as error:  # a violated invariant in RDKit
        raise RecordError(record_id, "RDKit fails to embed it", " ".join(str(error).split())[:120]) from error
    return made


def _select_same_stereo(made: Chem.Mol) -> list[int]:
    """Return the ids of the conformers that have the stereochemistry of their molecule."""
    expected, same = _read_stereo(made), []
    for conformer in made.GetConformers():
        shown = Chem.Mol(made, confId=conformer.GetId())
        assign_stereo(shown)
        if _read_stereo(shown) == expected:
            same.append(conformer.GetId())
    return same


def _read_stereo(mol: Chem.Mol) -> tuple[list, list]:
    """Return chiral tags and bond stereo, comparable between molecules with the same atom order."""
    return [atom.GetChiralTag() for atom in mol.GetAtoms()], [bond.GetStereo() for bond in mol.GetBonds()]


def measure_rmsds(probe: Chem.Mol, reference: Chem.Mol, conformer_ids: Iterable[int]) -> tuple[list[float], bool]:
    """Measure the RMSD (Å) of conformers of `probe` to `reference`: the minimum over rigid motions and symmetries.

    Returns:
        One RMSD per conformer, and whether all symmetries were tried; if not, the RMSDs are upper bounds.
    Source: RDKit, rdMolAlign.GetBestRMS. Differs: terminal atoms are symmetric only if they share a charge by
        resonance, so the two oxygens of an acid remain distinct.
    """
    probe, reference = Chem.RemoveAllHs(probe), Chem.RemoveAllHs(reference)
    symmetries = _remove_resonance(reference).GetSubstructMatches(
        _remove_resonance(probe), uniquify=False, maxMatches=MAX_SYMMETRIES
    )
    maps = [list(enumerate(symmetry)) for symmetry in symmetries]
    rmsds = [rdMolAlign.GetBestRMS(probe, reference, prbId=id_, map=maps) for id_ in conformer_ids]
    return rmsds, len(symmetries) < MAX_SYMMETRIES


def _remove_resonance(mol: Chem.Mol) -> Chem.Mol:
    even = Chem.RWMol(mol)
    for charged, centre, neutral in mol.GetSubstructMatches(RESONANT_ENDS):
        even.GetAtomWithIdx(charged).SetFormalCharge(0)
        for end in (charged, neutral):
            even.GetBondBetweenAtoms(centre, end).SetBondType(Chem.BondType.ONEANDAHALF)
    return even.GetMol()


def summarise(comparisons: list[Comparison], seed: int) -> dict:
    """Summarise the comparisons by method: counts, failures by reason, and RMSDs (Å) overall and by flexibility."""
    methods = sorted({comparison.method for comparison in comparisons})
    return {method: _summarise_method([c for c in comparisons if c.method == method], seed) for method in methods}


def _summarise_method(comparisons: list[Comparison], seed: int) -> dict:
    compared = [comparison for comparison in comparisons if comparison.failure is None]
    most = max((comparison.num_conformers for comparison in compared), default=0)
    failures = Counter(comparison.failure for comparison in comparisons if comparison.failure is not None)
    by_flexibility = {
        name: _summarise_rmsds([c for c in compared if low <= c.num_rotatable <= high], seed)
        for name, (low, high) in ROTATABLE_BINS.items()
    }
    return {
        "sampled": len(comparisons),
        "compared": len(compared),
        "failures": dict(failures.most_common()),
        "fewer_conformers": sum(comparison.num_conformers < most for comparison in compared),
        "upper_bounds": sum(comparison.is_upper_bound for comparison in compared),
        **_summarise_rmsds(compared, seed),
        "by_rotatable_bonds": {name: figures for name, figures in by_flexibility.items() if figures["n"]},
    }


def _summarise_rmsds(compared: list[Comparison], seed: int) -> dict:
    return {
        "n": len(compared),
        "first": _summarise_sample(np.array([comparison.rmsd_first for comparison in compared]), seed),
        "best": _summarise_sample(np.array([comparison.rmsd_best for comparison in compared]), seed),
    }


def _summarise_sample(rmsds: np.ndarray, seed: int) -> dict | None:
    """Summarise RMSDs, (molecules,), Å; None without molecules."""
    if not len(rmsds):
        return None
    drawn = np.random.default_rng(seed).integers(len(rmsds), size=(RESAMPLES, len(rmsds)))
    interval = np.percentile(np.median(rmsds[drawn], axis=1), [2.5, 97.5])
    return {
        "mean": float(rmsds.mean()),
        "median": float(np.median(rmsds)),
        "median_interval_95": interval.tolist(),
        "p90": float(np.percentile(rmsds, 90)),
        **{f"share_under_{threshold}": float((rmsds < threshold).mean()) for threshold in THRESHOLDS},
    }
