"""Descriptors of a molecule that a chemist filters by."""

from typing import Any

import pyarrow as pa
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, rdMolDescriptors

COMPUTE = {
    "formula": rdMolDescriptors.CalcMolFormula,
    "mol_weight": Descriptors.MolWt,  # g/mol, average isotopes
    "logp": Crippen.MolLogP,  # Wildman & Crippen, J. Chem. Inf. Comput. Sci. 1999
    "tpsa": rdMolDescriptors.CalcTPSA,  # Å²; Ertl et al., J. Med. Chem. 2000
    "h_bond_donors": rdMolDescriptors.CalcNumHBD,
    "h_bond_acceptors": rdMolDescriptors.CalcNumHBA,
    "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "heavy_atoms": rdMolDescriptors.CalcNumHeavyAtoms,
    "charge": Chem.GetFormalCharge,
}
TYPES = {
    "formula": pa.string(),
    **dict.fromkeys(("mol_weight", "logp", "tpsa"), pa.float32()),
    **dict.fromkeys(
        ("h_bond_donors", "h_bond_acceptors", "rotatable_bonds", "rings", "heavy_atoms", "charge"), pa.int16()
    ),
}


def describe_molecule(mol: Chem.Mol) -> dict[str, Any]:
    """Return the descriptors of a molecule, by the names of `COMPUTE`."""
    return {name: compute(mol) for name, compute in COMPUTE.items()}
