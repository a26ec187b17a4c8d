"""Substructures: patterns in SMARTS, and bits that rule out most molecules without a match."""

from rdkit import Chem, DataStructs
from rdkit.rdBase import BlockLogs

PATTERN_BITS = 2048


def parse_smarts(smarts: str) -> Chem.Mol:
    """Parse SMARTS.

    Raises:
        ValueError: RDKit cannot read it.
    """
    with BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise ValueError(f"RDKit cannot read the substructure {smarts!r} as SMARTS; correct it")
    return pattern


def make_pattern_bits(mol: Chem.Mol) -> bytes:
    """Return RDKit's pattern fingerprint; a molecule that contains a substructure has all its bits.

    Args:
        mol: a molecule, or a pattern in SMARTS.
    """
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    return DataStructs.BitVectToBinaryText(Chem.PatternFingerprint(mol, PATTERN_BITS))


def has_substructure(smiles: str, pattern: Chem.Mol) -> bool:
    """Return whether a molecule contains a pattern, with the stereochemistry that the pattern has."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return mol is not None and mol.HasSubstructMatch(pattern, useChirality=True)
