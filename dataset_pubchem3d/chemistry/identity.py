"""Which molecule it is: InChIKeys and their first block, which names a molecule up to stereo, isotopes and charge."""

import re

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

INCHIKEY = re.compile(r"[A-Z]{14}(?:-[A-Z]{10}-[A-Z])?")  # a whole one or its first block
KEY, BLOCK = np.dtype("S27"), np.dtype("S14")  # an InChIKey and its first block


def take_first_block(inchikey: str) -> str:
    """First block of an InChIKey, which hashes the connectivity."""
    return inchikey[: BLOCK.itemsize]


def compute_inchikey(smiles: str) -> str:
    """InChIKey of a SMILES; "" where RDKit cannot read the SMILES or finds no InChI."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        return Chem.MolToInchiKey(mol) if mol is not None else ""
