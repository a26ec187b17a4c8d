"""How far the conformers that RDKit makes are from the stored geometries.

A geometry is one stereoisomer even where its record names none, so the molecule that is embedded is perceived from the
stored geometry, stereo included; only then do two conformers of one molecule differ by nothing but their shape.

Source: `molecules_geomclip.py`, whose settings for ETKDGv3 and MMFF94 are used (Wang et al., JCIM 2020; Tosco et al.,
J. Cheminform. 2014). Differs: the atoms stay in the order of the geometry, which draws other random conformers.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds, rdDistGeom, rdForceFieldHelpers, rdMolAlign, rdMolDescriptors
from rdkit.Geometry import Point3D
from rdkit.rdBase import BlockLogs
from tqdm import tqdm

from ..records import RecordError, checked_geometry

COLUMNS = ("inchikey", "smiles", "geometry_id", "geometry_method", "atomic_numbers", "positions")
BATCH_ROWS = 1024
EMBEDDING_ATTEMPTS = 50  # before random starting coordinates are tried
MINIMISATION_STEPS = 500
FEWEST_HEAVY_ATOMS = 4  # fewer have no torsion: nothing but bond lengths and angles could differ
# Ways to find connections, until one gives the record's: strained cages have unbonded atoms closer than 1.3 radii.
PERCEPTIONS = ({"useVdw": False}, {"useVdw": True, "covFactor": 1.15}, {"useVdw": True, "covFactor": 1.3})
MAX_SYMMETRIES = 10_000
MAX_BOND_ORDER_STEPS = 100_000
# Ends of one resonance (carboxylate, nitro, phosphate, sulfonate, amidinate): equal, whichever has the charge.
RESONANT_ENDS = Chem.MolFromSmarts("[O,S,N;D1;-]-*=[O,S,N;D1;H0]")
CLOCKWISE, COUNTERCLOCKWISE = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW
ROTATABLE_BINS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4-6": (4, 6), "7 or more": (7, 10_000)}
THRESHOLDS = (0.5, 1.0)  # Å
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One stored geometry and RDKit's conformers of its molecule, or why they could not be compared.

    rmsd_first, rmsd_best: of the first conformer and of the closest one, heavy atoms, Å; None if there is a `failure`.
    num_conformers: how many had the stereo of the geometry; the others are left out.
    is_upper_bound: the molecule has more symmetries than were tried.
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


def sample_rows(files: Iterable[Path], sample: int, seed: int) -> list[dict]:
    """Up to `sample` rows of each `geometry_method`: those of the lowest hash of seed, InChIKey and geometry id.

    Neither the order of the files nor that of their rows matters, and of equal rows one is taken.
    """
    kept: dict[str, dict[bytes, dict]] = defaultdict(dict)
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
                _keep_lowest(kept, batch, sample, seed)
    return [row for method in sorted(kept) for _, row in sorted(kept[method].items())]


def _keep_lowest(kept: dict[str, dict[bytes, dict]], batch: pa.RecordBatch, sample: int, seed: int) -> None:
    limits = {method: max(lowest, default=b"") for method, lowest in kept.items() if len(lowest) == sample}
    keys = [batch[name].to_pylist() for name in ("inchikey", "geometry_id", "geometry_method")]
    for index, (inchikey, geometry_id, method) in enumerate(zip(*keys)):
        rank = hashlib.sha256(f"{seed}:{inchikey}:{geometry_id}".encode()).digest()
        if str(method) not in limits or rank < limits[str(method)]:
            kept[str(method)][rank] = batch.slice(index, 1).to_pylist()[0]
    for method, lowest in kept.items():
        kept[method] = dict(sorted(lowest.items())[:sample])


def compare_geometries(
    rows: list[dict], num_conformers: int = 10, seed: int = 42, num_proc: int = 1
) -> list[Comparison]:
    """One comparison a row, in their order.

    Args:
        rows: with the columns of `COLUMNS`.
        num_conformers: how many RDKit makes of each molecule; the first is what a single embedding gives.
        seed: of the conformers; 0 would make them all alike.
    Raises:
        ValueError: `seed` is not positive.
    """
    if seed < 1:
        raise ValueError(f"seed is {seed}, but RDKit multiplies it by the conformer's number; choose a positive one")
    compare = partial(compare_geometry, num_conformers=num_conformers, seed=seed)
    progress = partial(tqdm, total=len(rows), desc="comparing geometries", unit=" molecules")
    if num_proc == 1:
        return list(progress(map(compare, rows)))
    with ProcessPoolExecutor(num_proc, mp_context=get_context("spawn")) as pool:
        return list(progress(pool.map(compare, rows, chunksize=8)))


def compare_geometry(row: dict, num_conformers: int, seed: int) -> Comparison:
    """The comparison of one row; whatever stands against it is told in `failure`."""
    record_id, method = f"{row['inchikey']} {row['geometry_id']}", str(row["geometry_method"])
    try:
        with BlockLogs():
            stored = perceive_molecule(row, record_id)
            embedded = embed_conformers(stored, num_conformers, seed, record_id)
            same = [conformer.GetId() for conformer in embedded.GetConformers() if _has_stereo(embedded, conformer)]
            if not same:
                raise RecordError(record_id, "no conformer has the stereo of the geometry")
            rmsds, is_complete = heavy_atom_rmsds(embedded, stored, same)
    except RecordError as error:
        return Comparison(record_id, method, failure=error.reason, detail=error.detail)
    num_rotatable = rdMolDescriptors.CalcNumRotatableBonds(Chem.RemoveHs(stored))  # or O-H would count
    return Comparison(record_id, method, num_rotatable, len(same), rmsds[0], min(rmsds), not is_complete)


def perceive_molecule(row: dict, record_id: str) -> Chem.Mol:
    """The molecule of a stored geometry: its atoms in their order, its stereo, the bond orders of the record's SMILES.

    Returns: with hydrogens as atoms and the geometry as its only conformer.
    Raises:
        RecordError: record and geometry cannot be brought together, or there is too little to compare.
    """
    template = Chem.MolFromSmiles(row["smiles"] or "")
    if template is None or template.GetNumAtoms() == 0:
        raise RecordError(record_id, "RDKit cannot read the SMILES", str(row["smiles"]))
    if len(Chem.GetMolFrags(template)) > 1:
        raise RecordError(record_id, "it has several fragments, whose relative places mean nothing")
    if template.GetNumHeavyAtoms() < FEWEST_HEAVY_ATOMS:
        raise RecordError(record_id, f"it has fewer than {FEWEST_HEAVY_ATOMS} heavy atoms")
    template, atoms = Chem.AddHs(template), _placed_atoms(row, record_id)
    if _elements(template) != _elements(atoms):
        raise RecordError(record_id, "the geometry has not the atoms of its record")
    mol = _bonds_of_template(template, atoms)
    if mol is None:
        mol = _bonds_of_distances(atoms, Chem.GetFormalCharge(template), record_id)
    inchikey = Chem.MolToInchiKey(mol)
    if inchikey[:14] != str(row["inchikey"])[:14]:
        raise RecordError(record_id, "the geometry shows another molecule than its record", inchikey)
    assign_stereo(mol)
    return mol


def _elements(mol: Chem.Mol) -> Counter:
    return Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())


def _placed_atoms(row: dict, record_id: str) -> Chem.Mol:
    try:
        geometry = checked_geometry(record_id, row["atomic_numbers"], row["positions"])
    except (TypeError, ValueError) as error:
        raise RecordError(record_id, "the stored geometry is broken", str(error)) from error
    mol = Chem.RWMol()
    conformer = Chem.Conformer(len(geometry.atomic_numbers))
    for index, (number, position) in enumerate(zip(geometry.atomic_numbers, geometry.positions[0])):
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
        conformer.SetAtomPosition(index, Point3D(*map(float, position)))
    mol.AddConformer(conformer)
    return mol.GetMol()


def _bonds_of_template(template: Chem.Mol, atoms: Chem.Mol) -> Chem.Mol | None:
    """`template` with its atoms placed as the equally connected ones of `atoms`; None if connections differ."""
    skeleton = _skeleton(template)
    for perception in PERCEPTIONS:
        connected = Chem.Mol(atoms)
        rdDetermineBonds.DetermineConnectivity(connected, **perception)
        if connected.GetNumBonds() != skeleton.GetNumBonds():
            continue
        match = _skeleton(connected).GetSubstructMatch(skeleton)  # template's atom -> geometry's
        if match:
            mol = Chem.RenumberAtoms(template, np.argsort(match).tolist())
            Chem.RemoveStereochemistry(mol)
            mol.AddConformer(atoms.GetConformer(), assignId=True)
            return mol
    return None


def _skeleton(mol: Chem.Mol) -> Chem.Mol:
    """Elements and connections alone."""
    skeleton = Chem.RWMol()
    for atom in mol.GetAtoms():
        skeleton.AddAtom(Chem.Atom(atom.GetAtomicNum()))
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return skeleton.GetMol()


def _bonds_of_distances(atoms: Chem.Mol, charge: int, record_id: str) -> Chem.Mol:
    mol = Chem.Mol(atoms)
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=charge, maxIterations=MAX_BOND_ORDER_STEPS)
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise RecordError(record_id, "bonds cannot be perceived from the geometry", detail) from error
    return mol


def embed_conformers(mol: Chem.Mol, num_conformers: int, seed: int, record_id: str) -> Chem.Mol:
    """A copy of `mol` whose conformers are RDKit's (ETKDGv3, then MMFF94, or UFF where MMFF94 has no parameters).

    Raises:
        RecordError: there is no conformer or no force field.
    """
    embedded = Chem.Mol(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = seed, EMBEDDING_ATTEMPTS
    try:
        if not rdDistGeom.EmbedMultipleConfs(embedded, num_conformers, parameters):
            parameters.useRandomCoords, parameters.maxIterations = True, 0
            rdDistGeom.EmbedMultipleConfs(embedded, num_conformers, parameters)
        if embedded.GetNumConformers() == 0:
            raise RecordError(record_id, "ETKDGv3 finds no conformer")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(embedded):
            rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(embedded, maxIters=MINIMISATION_STEPS)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(embedded):
            rdForceFieldHelpers.UFFOptimizeMoleculeConfs(embedded, maxIters=MINIMISATION_STEPS)
        else:
            raise RecordError(record_id, "neither MMFF94 nor UFF has its parameters")
    except RuntimeError as error:  # conditions that RDKit itself violates
        raise RecordError(record_id, "RDKit fails to embed it", " ".join(str(error).split())[:120]) from error
    return embedded


def assign_stereo(mol: Chem.Mol, conformer_id: int = -1) -> None:
    """Replace the stereo of `mol`, its hydrogens being atoms, by that of a conformer.

    Differs from RDKit's AssignStereochemistryFrom3D: the handedness of an atom with four neighbours is that of the
    neighbours, as it is for ETKDGv3. RDKit's is that of three of them seen from the atom, which is another one where
    a strained cage has all four on one side.
    """
    Chem.AssignAtomChiralTagsFromStructure(mol, conformer_id, replaceExistingTags=True)
    positions = mol.GetConformer(conformer_id).GetPositions()
    for atom in mol.GetAtoms():
        if atom.GetDegree() == 4:
            a, b, c, d = positions[[neighbour.GetIdx() for neighbour in atom.GetNeighbors()]]
            is_clockwise = np.linalg.det([a - d, b - d, c - d]) < 0
            atom.SetChiralTag(CLOCKWISE if is_clockwise else COUNTERCLOCKWISE)
    Chem.DetectBondStereochemistry(mol, conformer_id)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)


def _has_stereo(embedded: Chem.Mol, conformer: Chem.Conformer) -> bool:
    shown = Chem.Mol(embedded)
    assign_stereo(shown, conformer.GetId())
    return _stereo(shown) == _stereo(embedded)


def _stereo(mol: Chem.Mol) -> tuple[list, list]:
    """Comparable between molecules of one atom order."""
    return [atom.GetChiralTag() for atom in mol.GetAtoms()], [bond.GetStereo() for bond in mol.GetBonds()]


def heavy_atom_rmsds(probe: Chem.Mol, reference: Chem.Mol, conformer_ids: Iterable[int]) -> tuple[list[float], bool]:
    """RMSD (Å) of conformers of `probe` to `reference`, the least over rotations, shifts and the molecule's symmetries.

    Returns: one RMSD a conformer, and whether all symmetries were tried; if not, the RMSDs are upper bounds.
    Source: RDKit, rdMolAlign.GetBestRMS. Differs: of its terminal groups only those that share a charge count as
    symmetric, so that the two oxygens of an acid stay apart.
    """
    probe, reference = Chem.RemoveAllHs(probe), Chem.RemoveAllHs(reference)
    symmetries = _without_resonance(reference).GetSubstructMatches(
        _without_resonance(probe), uniquify=False, maxMatches=MAX_SYMMETRIES
    )
    maps = [list(enumerate(symmetry)) for symmetry in symmetries]
    rmsds = [rdMolAlign.GetBestRMS(probe, reference, prbId=id_, map=maps) for id_ in conformer_ids]
    return rmsds, len(symmetries) < MAX_SYMMETRIES


def _without_resonance(mol: Chem.Mol) -> Chem.Mol:
    even = Chem.RWMol(mol)
    for charged, centre, neutral in mol.GetSubstructMatches(RESONANT_ENDS):
        even.GetAtomWithIdx(charged).SetFormalCharge(0)
        for end in (charged, neutral):
            even.GetBondBetweenAtoms(centre, end).SetBondType(Chem.BondType.ONEANDAHALF)
    return even.GetMol()


def summarise(comparisons: list[Comparison], seed: int) -> dict:
    """Figures of each method: what was compared, what failed and why, and the RMSDs (Å) in all and by flexibility."""
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
        "first": _figures(np.array([comparison.rmsd_first for comparison in compared]), seed),
        "best": _figures(np.array([comparison.rmsd_best for comparison in compared]), seed),
    }


def _figures(rmsds: np.ndarray, seed: int) -> dict | None:
    """Args: rmsds: (molecules,), Å. Returns: None for no molecules."""
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
