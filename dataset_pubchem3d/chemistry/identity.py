"""Identify molecules by InChIKeys and their first block, which ignores stereochemistry, isotopes and charge."""

import re

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

INCHIKEY = re.compile(r"[A-Z]{14}(?:-[A-Z]{10}-[A-Z])?")  # a full InChIKey or its first block
KEY, BLOCK = np.dtype("S27"), np.dtype("S14")  # an InChIKey and its first block


def take_first_block(inchikey: str) -> str:
    """Return the first block of an InChIKey, a hash of the connectivity."""
    return inchikey[: BLOCK.itemsize]


def compute_inchikey(smiles: str) -> str:
    """Compute the InChIKey of a SMILES; "" if RDKit cannot read the SMILES or compute its InChI."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        return Chem.MolToInchiKey(mol) if mol is not None else ""
