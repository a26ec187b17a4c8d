"""Molecules of the miniature: rows of QM9 under invented names, and molecules that a trap needs."""

import ast
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, islice

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds, rdDistGeom
from rdkit.rdBase import BlockLogs

from dataset_pubchem3d.sources.base import find_installed_folder

SYLLABLES = [*map("".join, zip("bcdfghjklmnprstvwyz", "aoueioaeuioaeuiaoei", "lrnlmvtmrpxdmvblnrf"))]
ENDINGS = ("ane", "ine", "ol", "ide", "one", "ene")
ROTATIONS = ([0, 1, 2], [1, 2, 0], [2, 0, 1])  # of axes; proper, so that they keep the handedness
IMPOSSIBLE_STEPS = 1000  # of the search for bond orders; small molecules need few


@dataclass
class Molecule:
    """A compound of the miniature's PubChem, with one plausible geometry.

    Attributes:
        mol: with explicit hydrogens and the geometry.
        row: its row of QM9, if it has one, with the polarizability tensor.
    """

    cid: int
    smiles: str
    title: str
    synonyms: tuple[str, ...]
    mol: Chem.Mol = field(repr=False)
    row: dict | None = field(default=None, repr=False)

    @cached_property
    def inchi(self) -> str:
        with BlockLogs():
            return Chem.MolToInchi(Chem.MolFromSmiles(self.smiles))

    @cached_property
    def inchikey(self) -> str:
        return Chem.InchiToInchiKey(self.inchi)

    @cached_property
    def numbers(self) -> list[int]:
        return [atom.GetAtomicNum() for atom in self.mol.GetAtoms()]

    def positions(self, variant: int) -> np.ndarray:
        """The geometry, turned and shifted so that it tells where a row has it from; mol blocks keep all its digits."""
        positions = self.mol.GetConformer().GetPositions()
        return np.round((positions - positions[0])[:, ROTATIONS[variant % 3]] + variant, 4)

    def mol_block(self, variant: int) -> str:
        placed = Chem.Mol(self.mol)
        placed.GetConformer().SetPositions(self.positions(variant))
        return Chem.MolToMolBlock(placed)


def invent_names() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield a title and two synonyms of each molecule."""
    for number in count():
        first, rest = number % len(SYLLABLES), number // len(SYLLABLES)
        second, ending = rest % len(SYLLABLES), rest // len(SYLLABLES)
        title = f"{SYLLABLES[first]}{SYLLABLES[second]}{ENDINGS[ending]}".capitalize()
        yield title, (f"{title.lower()} base", f"EX-{1000 + number}")


def read_qm9(number: int) -> Iterator[tuple[Chem.Mol, dict]]:
    """Yield the molecule and the row of molecules of QM9 that share no first block."""
    data, blocks = find_installed_folder("qm9pack") / "data", set()
    with open(data / "qm9_part1.csv", newline="") as rows, open(data / "qm9_polarizability.csv", newline="") as tensors:
        for row, tensor in islice(zip(csv.DictReader(rows), csv.DictReader(tensors)), 0, None, 2):
            block = Chem.InchiToInchiKey(row["InChi"])[:14]
            if block in blocks or (mol := perceive(row)) is None:
                continue
            blocks.add(block)
            yield mol, row | tensor
            if len(blocks) == number:
                return


def perceive(row: dict) -> Chem.Mol | None:
    """The molecule of a row with its geometry; None unless SMILES, InChI and geometry agree and no atom is charged."""
    with BlockLogs():
        if "+" in row["SMILES"] or Chem.MolToInchi(Chem.MolFromSmiles(row["SMILES"])) != row["InChi"]:
            return None
        atoms = zip(ast.literal_eval(row["Elements"]), ast.literal_eval(row["XYZ_Ang"]), strict=True)
        lines = [f"{symbol} {x:.6f} {y:.6f} {z:.6f}" for symbol, (x, y, z) in atoms]
        mol = Chem.MolFromXYZBlock("\n".join([row["N_atoms"], "", *lines]))
        try:
            rdDetermineBonds.DetermineBonds(mol, charge=0, maxIterations=IMPOSSIBLE_STEPS)
            shown = Chem.MolToInchiKey(mol)
        except (ValueError, RuntimeError):
            return None
    return mol if shown[:14] == Chem.InchiToInchiKey(row["InChi"])[:14] else None


def embed(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES with explicit hydrogens and a conformer; the ions of a salt lie side by side."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    with BlockLogs():
        assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0, smiles
    positions = mol.GetConformer().GetPositions()
    for number, ion in enumerate(Chem.GetMolFrags(mol)):
        positions[[*ion]] += 8.0 * number - positions[[*ion]].mean(axis=0)
    mol.GetConformer().SetPositions(positions)
    return mol
