"""Any description of one molecule -> its atomic numbers and positions (Å).

The only file of this folder that imports RDKit. Without RDKit, coordinates and ASE objects still work.
"""

import os
import reprlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

try:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
except ImportError:
    Chem = None

FILE_FORMATS = {".sdf": "SDF", ".mol": "SDF", ".mol2": "MOL2", ".xyz": "XYZ"}
RECORD_END = "$$$$\n"
LARGEST_ATOMIC_NUMBER = 118
LARGEST_COORDINATE = 1e5  # Å; beyond it squared distances lose all meaning in float32
FRAGMENT_GAP = 4.0  # Å between the extents of neighbouring fragments
CLOSEST_HEAVY_ATOMS = 0.9  # Å; shorter than any bond between heavy atoms
CONFORMER_ATTEMPTS = 50  # from each of two kinds of starting coordinates
MINIMISATION_STEPS = 500

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80


class MoleculeError(ValueError):
    """A molecule that cannot be used; the only exception that a molecule given by a user can cause.

    Attributes: `rule` (what is wrong), `remedy` (what to do), `value` (the molecule, shortened) and `index` (its
    place in the batch); the last two are filled in by whoever knows them.
    """

    def __init__(self, rule: str, remedy: str = "", value: str = "", index: int | None = None):
        super().__init__(rule)
        self.rule, self.remedy, self.value, self.index = rule, remedy, value, index

    @property
    def reason(self) -> str:
        return "; ".join(part for part in (self.rule, self.remedy) if part)

    def __str__(self) -> str:
        place = "" if self.index is None else f" {self.index}"
        value = f" ({self.value})" if self.value else ""
        return f"molecule{place}{value}: {self.reason}" if place or value else self.reason


def read_molecule(
    molecule: Any, seed: int = 42, remove_hydrogens: bool = False, max_atoms: int | None = None
) -> dict[str, np.ndarray]:
    """Atomic numbers and positions of one molecule, however it is described.

    Coordinates that are given are used as they are; no hydrogen is added to them. Where there are none (SMILES,
    InChI, 2D structures) a conformer with hydrogens is made (ETKDGv3, MMFF94).

    Args:
        molecule: SMILES, InChI, a path to or a block of SDF/MOL, MOL2 or XYZ, an RDKit `Mol` (its first conformer),
            an ASE `Atoms`, or a mapping with `atomic_numbers` (atoms,) and `positions` (atoms, 3) in Å.
        seed: of the conformer, where one is made.
        remove_hydrogens: leave hydrogens out, unless there is nothing else.
        max_atoms: the most atoms it may have, hydrogens that are left out not counted.
    Returns:
        {"atomic_numbers": (atoms,) integer, "positions": (atoms, 3) float64, Å}.
    Raises:
        MoleculeError: naming the molecule, the rule it breaks and the remedy.
    """
    try:
        numbers, positions = _check_arrays(*_extract_atoms(molecule, seed, remove_hydrogens, max_atoms))
        is_heavy = numbers > 1
        if remove_hydrogens and is_heavy.any():
            numbers, positions = numbers[is_heavy], positions[is_heavy]
        _check_size(len(numbers), max_atoms)
    except MoleculeError as error:
        error.value = _shortener.repr(molecule)
        raise
    return {"atomic_numbers": numbers, "positions": positions}


def read_molecules(path: str | os.PathLike) -> Iterator[str]:
    """The records of an SDF file one by one, as text, so that a bad record can be reported by its place.

    Raises:
        MoleculeError: when the file cannot be read.
    """
    record: list[str] = []
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("$$$$"):
                    yield "".join(record)
                    record = []
                else:
                    record.append(line)
    except (OSError, ValueError) as error:
        raise MoleculeError(f"the file cannot be read ({error})", "check the path", _shortener.repr(path)) from error
    if "".join(record).strip():
        yield "".join(record)


def _make_conformer(
    mol: "Chem.Mol", seed: int, remove_hydrogens: bool = False, max_atoms: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A conformer with hydrogens that depends on the molecule and the seed only, not on how it was written down.

    Each fragment goes through its canonical SMILES, ETKDGv3 and MMFF94 (UFF where MMFF94 has no parameters);
    fragments are set side by side along x.

    Returns: atomic numbers (atoms,) and positions (atoms, 3), Å.
    Source: Wang et al., JCIM 2020 (ETKDGv3); Tosco et al., J. Cheminform. 2014 (MMFF94 in RDKit).
    """
    if mol.GetNumAtoms() == 0:
        raise MoleculeError("it has no atoms", "drop it")
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
        if atom.GetAtomicNum() == 0:
            raise MoleculeError("it has a dummy atom (*), which has no element", "replace it by an atom or drop it")
    # Before the costly part: a large molecule can take minutes.
    _check_size(mol.GetNumHeavyAtoms() if remove_hydrogens else mol.GetNumAtoms(onlyExplicit=False), max_atoms)

    fragments = [_make_fragment_conformer(smiles, seed) for smiles in Chem.MolToSmiles(mol).split(".")]
    edge = 0.0
    for _, positions in fragments:
        positions[:, 0] += edge - positions[:, 0].min()
        edge = positions[:, 0].max() + FRAGMENT_GAP
    numbers = np.concatenate([numbers for numbers, _ in fragments])
    positions = np.concatenate([positions for _, positions in fragments])
    _check_heavy_atoms_apart(positions[numbers > 1])
    return numbers, positions


def _make_fragment_conformer(smiles: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise MoleculeError(f"RDKit cannot read its own canonical SMILES {smiles!r}", "pass 3D coordinates")
    mol = Chem.AddHs(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = seed, CONFORMER_ATTEMPTS
    if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
        parameters.useRandomCoords = True
        if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
            raise MoleculeError(
                f"no conformer was found for {smiles!r}", "check its stereochemistry or pass 3D coordinates"
            )
    if mol.GetNumAtoms() > 1:
        _minimise(mol, smiles)
    return _take_coordinates(mol)


def _minimise(mol: "Chem.Mol", smiles: str) -> None:
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=MINIMISATION_STEPS)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.UFFOptimizeMolecule(mol, maxIters=MINIMISATION_STEPS)
    else:
        raise MoleculeError(f"neither MMFF94 nor UFF has parameters for {smiles!r}", "pass 3D coordinates")


def _check_heavy_atoms_apart(positions: np.ndarray) -> None:
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    if distances.min(initial=np.inf) < CLOSEST_HEAVY_ATOMS:
        closest = f"its conformer has heavy atoms {distances.min():.2f} Å apart, less than {CLOSEST_HEAVY_ATOMS} Å"
        raise MoleculeError(closest, "pass 3D coordinates")


def _extract_atoms(molecule: Any, seed: int, remove_hydrogens: bool, max_atoms: int | None) -> tuple[Any, Any]:
    """Whatever stands for the atomic numbers and positions, not yet checked."""
    if isinstance(molecule, Mapping):
        if missing := [key for key in ("atomic_numbers", "positions") if key not in molecule]:
            raise MoleculeError(f"it has no {' and no '.join(missing)}", "pass both atomic_numbers and positions")
        return molecule["atomic_numbers"], molecule["positions"]
    if hasattr(molecule, "get_atomic_numbers") and hasattr(molecule, "get_positions"):  # ASE Atoms
        if np.any(molecule.pbc):
            raise MoleculeError("it is periodic, and distances across the cell would be lost", "set atoms.pbc = False")
        return molecule.get_atomic_numbers(), molecule.get_positions()

    if not isinstance(molecule, (str, os.PathLike)) and (Chem is None or not isinstance(molecule, Chem.Mol)):
        expected = "SMILES, InChI, SDF, MOL2, XYZ, an RDKit Mol, an ASE Atoms or atomic_numbers with positions"
        raise MoleculeError(f"an object of type {type(molecule).__name__} is not a molecule", f"pass {expected}")
    if Chem is None:
        raise MoleculeError("reading text needs RDKit", "pip install rdkit, or pass atomic_numbers and positions")
    return _read_with_rdkit(molecule, seed, remove_hydrogens, max_atoms)


def _read_with_rdkit(
    molecule: Any, seed: int, remove_hydrogens: bool, max_atoms: int | None
) -> tuple[np.ndarray, np.ndarray]:
    try:
        with rdBase.BlockLogs():
            mol = molecule if isinstance(molecule, Chem.Mol) else _parse(*_tell_format(molecule))
            if _has_coordinates(mol):
                return _take_coordinates(mol)
            return _make_conformer(_sanitize(mol), seed, remove_hydrogens, max_atoms)
    except (Chem.MolSanitizeException, RuntimeError) as error:  # the latter for conditions that RDKit itself violates
        reason = " ".join(str(error).split())[:120]
        raise MoleculeError(f"RDKit refuses its chemistry ({reason})", "correct or drop it") from error


def _tell_format(molecule: str | os.PathLike) -> tuple[str, str]:
    """The text that describes the molecule, read from its file if it is a path, and the format of that text."""
    text = os.fsdecode(molecule)
    file_format = FILE_FORMATS.get(os.path.splitext(text)[1].lower())
    if isinstance(molecule, os.PathLike) or (file_format and "\n" not in text):
        return _read_file(text, file_format), file_format
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise MoleculeError("it holds broken Unicode characters", "decode the text it came from again")
    if not text.strip():
        raise MoleculeError("it is empty", "drop it")
    if "\n" not in text.strip():
        return text.strip(), "InChI" if text.strip().startswith("InChI=") else "SMILES"
    if "@<TRIPOS>" in text:
        return text, "MOL2"
    return text, "SDF" if "V2000" in text or "V3000" in text else "XYZ"


def _read_file(path: str, file_format: str | None) -> str:
    if file_format is None:
        raise MoleculeError("the file's ending is unknown", f"use one of {', '.join(FILE_FORMATS)}")
    if file_format == "SDF":
        return RECORD_END.join(islice(read_molecules(path), 2))  # a second one is enough to refuse the file
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise MoleculeError(f"the file cannot be read ({error})", "check the path") from error


def _parse(text: str, text_format: str) -> "Chem.Mol":
    """With the coordinates of the text and nothing perceived, or else with RDKit's chemistry where it accepts it."""
    _check_single(text, text_format)
    if text_format == "XYZ":
        mol = Chem.MolFromXYZBlock(text.rstrip() + "\n")
        if mol is None:
            raise MoleculeError(
                "it is neither SDF, MOL2 nor XYZ text", "give XYZ as atom count, comment and lines of 'symbol x y z'"
            )
        return mol

    read = {
        "SMILES": Chem.MolFromSmiles,
        "InChI": Chem.MolFromInchi,
        "SDF": Chem.MolFromMolBlock,
        "MOL2": Chem.MolFromMol2Block,
    }[text_format]
    mol = read(text, sanitize=False)
    if mol is None:
        raise MoleculeError(f"RDKit cannot read it as {text_format}", "correct or drop it")
    return mol if _has_coordinates(mol) else read(text) or mol


def _check_single(text: str, text_format: str) -> None:
    if text_format == "SMILES" and len(text.split()) > 1:
        raise MoleculeError("a SMILES has no white space in it", "pass the SMILES alone")
    if text_format == "SDF" and text.partition("$$$$")[2].strip():
        raise MoleculeError("it holds several SDF records", "pass read_molecules(path), which yields them one by one")
    if text_format == "MOL2" and text.count("@<TRIPOS>MOLECULE") > 1:
        raise MoleculeError("it holds several MOL2 records", "pass them one by one")


def _sanitize(mol: "Chem.Mol") -> "Chem.Mol":
    mol = Chem.Mol(mol)
    Chem.SanitizeMol(mol)
    return mol


def _has_coordinates(mol: "Chem.Mol") -> bool:
    return mol.GetNumConformers() > 0 and mol.GetConformer().Is3D()


def _take_coordinates(mol: "Chem.Mol") -> tuple[np.ndarray, np.ndarray]:
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    return numbers, mol.GetConformer().GetPositions()


def _check_arrays(numbers: Any, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        numbers, positions = np.asarray(numbers), np.asarray(positions)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise MoleculeError(f"its atoms or positions are no arrays ({error})", "pass lists or arrays") from error
    if numbers.ndim == 1 and len(numbers) == 0:
        raise MoleculeError("it has no atoms", "drop it")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        got = f"atomic_numbers have shape {numbers.shape} and type {numbers.dtype}"
        raise MoleculeError(got, "pass one list of integers")
    if positions.shape != (len(numbers), 3) or positions.dtype.kind not in "iuf":
        got = f"positions have shape {positions.shape} and type {positions.dtype} for {len(numbers)} atomic numbers"
        raise MoleculeError(got, f"pass real numbers of shape ({len(numbers)}, 3)")
    if numbers.min() < 1 or numbers.max() > LARGEST_ATOMIC_NUMBER:
        wrong = numbers[(numbers < 1) | (numbers > LARGEST_ATOMIC_NUMBER)][0]
        raise MoleculeError(f"{wrong} is no atomic number", f"use 1 to {LARGEST_ATOMIC_NUMBER}")
    positions = positions.astype(np.float64)
    if not np.abs(positions).max() <= LARGEST_COORDINATE:  # false for NaN too
        atom = int(np.argmin((np.abs(positions) <= LARGEST_COORDINATE).all(axis=1)))
        rule = f"atom {atom} is at {positions[atom].tolist()}, not a finite place within {LARGEST_COORDINATE:g} Å"
        raise MoleculeError(rule, "correct or drop it")
    return numbers, positions


def _check_size(num_atoms: int, max_atoms: int | None) -> None:
    if max_atoms is not None and num_atoms > max_atoms:
        raise MoleculeError(f"it has {num_atoms} atoms, more than max_atoms={max_atoms}", "raise max_atoms or drop it")
