"""Read one molecule, in any form, into its atomic numbers and positions (Å).

Arrays, ASE objects and XYZ text work without RDKit.
"""

import os
import re
import reprlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from .conformers_geomclip import Conformer, make_conformer
from .molecule_checks_geomclip import MoleculeError, check_arrays, check_distances, check_num_atoms, is_drawing
from .molecule_files_geomclip import (
    MOL2_START,
    RECORD_END,
    STRUCTURE_END,
    RecordText,
    find_file_format,
    read_records,
    refuse_foreign_file,
    tell_format,
)
from .rdkit_log_geomclip import find_reason, guard_rdkit
from .text_files_geomclip import UNDECODED
from .xyz_geomclip import read_xyz

try:
    from rdkit import Chem
except ImportError:
    Chem = None

BYTE_ORDER_MARK = "\ufeff"
INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
SELFIES = re.compile(r"(?:\[[^\]]+\]\.?)+")
SELFIES_ONLY = re.compile(r"\[(?:[=#/\\]|Branch|Ring|Expl)|\.?\[nop\]", re.IGNORECASE)  # never in a SMILES bracket
BARE_ATOM = re.compile(r"\[C\]")  # in a SMILES, a carbon without hydrogens
DECIMAL_COMMAS = re.compile(r"(?:\s+[+-]?\d+,\d+){3}\s")
POLYMERS = {"SRU", "MON", "MER", "COP", "CRO", "GRA", "MOD", "ANY"}  # types of S-groups (CTfile formats, chapter 4)
SDF_END = re.compile(rf"^{re.escape(RECORD_END)}.*\n?", re.MULTILINE)
MISSING_TYPE = re.compile(r"Element '(.*)' not found")

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80


def read_molecule(
    molecule: Any, seed: int = 42, remove_hydrogens: bool = False, max_atoms: int | None = None
) -> dict[str, np.ndarray]:
    """Read the atomic numbers and positions of one molecule, in any form.

    Given coordinates are used as they are: no hydrogens are added, and coordinates that cannot belong to a molecule are
    refused. If there are no coordinates (SMILES, InChI, 2D structures, drawings labelled 3D), a conformer with
    hydrogens is made, see `make_conformer`.

    Args:
        molecule: SMILES, InChI, a path to or a block of SDF/MOL, MOL2 or XYZ (plain or extended), an RDKit `Mol` (its
            first conformer), an ASE `Atoms`, or a mapping with `atomic_numbers` (atoms,) and `positions` (atoms, 3) in
            Å. A `MoleculeError`, which `read_molecules` yields for a damaged record, is raised.
        seed: seed of the conformer, if one is made.
        remove_hydrogens: drop hydrogens, unless there are no other atoms.
        max_atoms: largest number of atoms, counted after hydrogens are removed.
    Returns:
        {"atomic_numbers": (atoms,) integer, "positions": (atoms, 3) float64, Å}.
    Raises:
        MoleculeError: the molecule cannot be used. Names the molecule, the rule and the remedy.
    """
    try:
        numbers, positions = _extract_atoms(molecule, seed, remove_hydrogens, max_atoms)
        is_heavy = numbers > 1
        is_kept = is_heavy if remove_hydrogens and is_heavy.any() else np.ones_like(is_heavy)
        check_num_atoms(int(is_kept.sum()), max_atoms)
    except MoleculeError as error:
        error.value = error.value or (molecule.place if isinstance(molecule, RecordText) else _shortener.repr(molecule))
        raise
    return {"atomic_numbers": numbers[is_kept], "positions": positions[is_kept]}


def _extract_atoms(
    molecule: Any, seed: int, remove_hydrogens: bool, max_atoms: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the checked atomic numbers and positions."""
    if isinstance(molecule, MoleculeError):
        raise MoleculeError(molecule.rule, molecule.remedy, molecule.value)
    if isinstance(molecule, Mapping):
        if missing := [key for key in ("atomic_numbers", "positions") if key not in molecule]:
            raise MoleculeError(f"it has no {' and no '.join(missing)}", "pass both atomic_numbers and positions")
        return _check_given(molecule["atomic_numbers"], molecule["positions"])
    if hasattr(molecule, "get_atomic_numbers") and hasattr(molecule, "get_positions"):  # ASE Atoms
        if np.any(molecule.pbc):
            raise MoleculeError("it is periodic, and distances across the cell would be lost", "set atoms.pbc = False")
        return _check_given(molecule.get_atomic_numbers(), molecule.get_positions())
    if isinstance(molecule, (str, os.PathLike)):
        text, text_format = _take_text(molecule)
        if text_format == "XYZ":
            return _check_given(*_read_xyz(text, getattr(molecule, "first_line", 1)))
        _require_rdkit()
        return _read_with_rdkit(lambda: _parse(text, text_format), seed, remove_hydrogens, max_atoms)
    if Chem is not None and isinstance(molecule, Chem.Mol):
        return _read_with_rdkit(lambda: molecule, seed, remove_hydrogens, max_atoms)
    expected = "SMILES, InChI, SDF, MOL2, XYZ, an RDKit Mol, an ASE Atoms or atomic_numbers with positions"
    raise MoleculeError(f"an object of type {type(molecule).__name__} is not a molecule", f"pass {expected}")


def _read_xyz(text: str, first_line: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        return read_xyz(text)
    except MoleculeError:
        return read_xyz("\n" * (first_line - 1) + text)  # read again, to report line numbers of the file


def _check_given(numbers: Any, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    numbers, positions = check_arrays(numbers, positions)
    check_distances(numbers, positions)
    return numbers, positions


def embed_smiles(smiles: str, seed: int = 42, max_atoms: int | None = None, relax: bool = True) -> Conformer:
    """Make the conformer that `read_molecule` makes from a SMILES, with its methods; without `relax`, as embedded.

    Raises:
        MoleculeError: as for `read_molecule`.
    """
    _require_rdkit()
    try:
        text, text_format = _take_text(smiles)
        with guard_rdkit():
            return make_conformer(_sanitize(_parse(text, text_format)), seed, max_atoms=max_atoms, relax=relax)
    except MoleculeError as error:
        error.value = error.value or _shortener.repr(smiles)
        raise


def read_mol_block(block: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the atomic numbers and positions (Å) of a mol block, checked as in `read_molecule`; None if it is 2D.

    Raises:
        MoleculeError: as for `read_molecule`.
    """
    _require_rdkit()
    with guard_rdkit():
        mol = _parse(block, "SDF")
        _refuse_polymer(mol)
        if mol.GetNumAtoms() == 0 or _has_coordinates(mol):
            return _check_given(*_take_coordinates(mol))
    return None


# ---------------------------------------------------------------------------------------------------------------- text


def _take_text(molecule: str | os.PathLike) -> tuple[str, str]:
    """Return the text of the molecule, read from its file if it is a path, and the format of the text."""
    text = os.fsdecode(molecule)
    if isinstance(molecule, os.PathLike) or "\n" not in text.strip():
        if find_file_format(text) or isinstance(molecule, os.PathLike):
            return _read_file(text)
        refuse_foreign_file(text)
    text = text.removeprefix(BYTE_ORDER_MARK)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if UNDECODED.search(text):
        raise MoleculeError("it holds broken Unicode characters", "decode its source text again")
    if not text.strip():
        raise MoleculeError("it is empty", "drop it")
    if "\n" in text.strip():
        return _check_single(text, tell_format(text))
    line = text.strip()
    if line.startswith("InChI="):
        return line, "InChI"
    refuse_other_lines(line)
    return line, "SMILES"


def _read_file(path: str) -> tuple[str, str]:
    """Return the text and the format of the only record of a file."""
    records = [*islice(read_records(path), 2)]  # a second record is enough to refuse the file
    if not records:
        raise MoleculeError("the file holds no molecule", "drop it")
    if fault := next((record.fault for record in records if record.fault), ""):
        raise MoleculeError(fault, "or read the other records with read_molecules(path)")
    text_format = tell_format(records[0].text)
    if len(records) > 1:
        rule = f"it holds several {text_format} records"
        raise MoleculeError(rule, "pass read_molecules(path), which yields them one by one")
    return records[0].text, text_format


def _check_single(text: str, text_format: str) -> tuple[str, str]:
    if text_format == "SDF":
        text, *rest = SDF_END.split(text, maxsplit=1)
        if "".join(rest).strip() or text.count(f"\n{STRUCTURE_END}") > 1:
            rule = "it holds several SDF records"
            raise MoleculeError(rule, "pass read_molecules(path), which yields them one by one")
    if text_format == "MOL2" and text.count(MOL2_START) > 1:
        raise MoleculeError("it holds several MOL2 records", "pass read_molecules(path), which yields them one by one")
    return text, text_format


def refuse_other_lines(line: str) -> None:
    """Refuse a line that is known not to be a SMILES, although RDKit may read it as one.

    Raises:
        MoleculeError: it has white space in it, or is a reaction, a polymer, SELFIES or an InChIKey.
    """
    if len(line.split()) > 1:
        raise MoleculeError("a SMILES must have no white space in it", "pass the SMILES alone")
    if "{" in line:
        raise MoleculeError("it is BigSMILES, which describes a polymer", "pass a molecule")
    if ">" in line.replace("->", ""):  # except in dative bonds
        raise MoleculeError("it is a reaction", "pass its molecules one by one")
    if INCHIKEY.fullmatch(line):
        raise MoleculeError("it is an InChIKey, which does not describe the molecule", "pass its SMILES")
    tokens = line.split("]")[:-1]
    is_bare = len(tokens) > 1 and any(BARE_ATOM.fullmatch(f"{token.lstrip('.')}]") for token in tokens)
    if SELFIES.fullmatch(line) and (SELFIES_ONLY.search(line) or is_bare):
        raise MoleculeError("it is SELFIES", "pass the SMILES that selfies.decoder returns for it")


# --------------------------------------------------------------------------------------------------------------- RDKit


def _require_rdkit() -> None:
    if Chem is None:
        raise MoleculeError("reading text needs RDKit", "pip install rdkit, or pass atomic_numbers and positions")


def _read_with_rdkit(
    read: Any, seed: int, remove_hydrogens: bool, max_atoms: int | None
) -> tuple[np.ndarray, np.ndarray]:
    with guard_rdkit():
        mol = read()
        _refuse_polymer(mol)
        if _has_coordinates(mol):
            return _check_given(*_take_coordinates(mol))
        conformer = make_conformer(_sanitize(mol), seed, remove_hydrogens, max_atoms)
        return conformer.atomic_numbers, conformer.positions


def _parse(text: str, text_format: str) -> "Chem.Mol":
    """Parse text, unsanitized if it has 3D coordinates, and otherwise sanitized if RDKit accepts the molecule."""
    read = {
        "SMILES": Chem.MolFromSmiles,
        "InChI": Chem.MolFromInchi,
        "SDF": Chem.MolFromMolBlock,
        "MOL2": Chem.MolFromMol2Block,
    }[text_format]
    if text_format == "MOL2":
        text = f"{text.rstrip()}\n"  # RDKit needs the end of the last line
    if comma := DECIMAL_COMMAS.search(text.partition(STRUCTURE_END)[0]):  # data items may hold any numbers
        raise MoleculeError(f"its coordinates have decimal commas ({comma.group().strip()})", "use decimal points")
    mol = read(text, sanitize=False)
    if mol is None and text_format == "SDF":
        mol = _parse_leniently(text)
    if mol is None:
        reason = find_reason(lambda: read(text, sanitize=False))
        told = f" ({reason})" if reason else ""
        raise MoleculeError(f"RDKit cannot read it as {text_format}{told}", _advise(text_format, reason))
    if _has_coordinates(mol):
        return mol
    if mol.GetNumConformers() and mol.GetConformer().Is3D():
        return Chem.MolFromMolBlock(_write_drawing(mol)) or mol
    return read(text) or mol


def _write_drawing(mol: "Chem.Mol") -> str:
    """Return a drawing labelled 3D as a 2D mol block; RDKit would perceive stereochemistry in its flat centres."""
    mol = Chem.Mol(mol)
    mol.UpdatePropertyCache(strict=False)
    positions = mol.GetConformer().GetPositions() * [1, 1, 0]
    mol.RemoveAllConformers()
    mol.AddConformer(Chem.Conformer(len(positions)))
    mol.GetConformer().SetPositions(positions)
    mol.GetConformer().Set3D(False)
    return Chem.MolToMolBlock(mol, kekulize=False)


def _parse_leniently(text: str) -> "Chem.Mol | None":
    """Parse a mol block that violates the format; return None if an atom or a bond would be lost."""
    mol = Chem.MolFromMolBlock(text, sanitize=False, strictParsing=False) if STRUCTURE_END in text else None
    if mol is None:
        return None
    counts = re.match(r"([ \d]{3})([ \d]{3})", text.splitlines()[3])
    is_whole = counts is not None and [int(count) for count in counts.groups()] == [
        mol.GetNumAtoms(),
        mol.GetNumBonds(),
    ]
    return mol if is_whole else None


def _advise(text_format: str, reason: str) -> str:
    if text_format == "MOL2" and (unknown := MISSING_TYPE.search(reason)):
        return f"use SYBYL atom types such as C.3; {unknown.group(1)} is not one (GAFF and AMBER lack the element)"
    return "correct or drop it"


def _refuse_polymer(mol: "Chem.Mol") -> None:
    if any(group.GetProp("TYPE") in POLYMERS for group in Chem.GetMolSubstanceGroups(mol) if group.HasProp("TYPE")):
        raise MoleculeError("it has a repeating unit, so it is a polymer", "pass a molecule")


def _sanitize(mol: "Chem.Mol") -> "Chem.Mol":
    mol = Chem.Mol(mol)
    Chem.SanitizeMol(mol)
    return mol


def _has_coordinates(mol: "Chem.Mol") -> bool:
    """Return whether the molecule has 3D coordinates that are not those of a drawing."""
    if mol.GetNumConformers() == 0 or not mol.GetConformer().Is3D():
        return False
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble()) for bond in mol.GetBonds()]
    numbers, positions = _take_coordinates(mol)
    return not is_drawing(numbers, positions, bonds, _count_missing_hydrogens(mol))


def _count_missing_hydrogens(mol: "Chem.Mol") -> int:
    mol = Chem.Mol(mol)
    mol.UpdatePropertyCache(strict=False)
    return sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())


def _take_coordinates(mol: "Chem.Mol") -> tuple[np.ndarray, np.ndarray]:
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=int)
    if (numbers == 0).any():
        raise MoleculeError("it has an atom without an element (R, A, *, Du, LP)", "replace it with an atom or drop it")
    return numbers, mol.GetConformer().GetPositions()
