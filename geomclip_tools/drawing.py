"""Draw molecules as SVG, and the contributions of their atoms to a similarity."""

import numpy as np
from rdkit import Chem
from rdkit.Chem.Draw import SimilarityMaps, rdMolDraw2D
from rdkit.rdBase import BlockLogs

from dataset_pubchem3d.chemistry.perception import arrange_molecule
from modeling_geomclip import Explanation

SIZE = (220, 160)  # width and height, pixels
FEWEST_HEAVY_ATOMS = 2  # of a heat map, whose width is that of a bond


def draw_molecule(smiles: str, size: tuple[int, int] = SIZE) -> str:
    """Return an SVG drawing of a molecule; "" if RDKit cannot read it."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
    if mol is None:
        return ""
    drawing = rdMolDraw2D.MolDraw2DSVG(*size)
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol)
    return _finish(drawing)


def draw_explanation(explanation: Explanation, smiles: str, size: tuple[int, int] = SIZE) -> str:
    """Return an SVG drawing of a molecule with a heat map: green atoms raise the similarity, pink ones lower it.

    Args:
        explanation: from `explain`.
        smiles: SMILES of the molecule, which has the bonds.
        size: width and height, pixels.
    Raises:
        ValueError: the SMILES is another molecule.
    """
    mol, contributions = place_contributions(explanation, smiles)
    if mol.GetNumAtoms() < FEWEST_HEAVY_ATOMS:
        return draw_molecule(smiles, size)
    drawing = rdMolDraw2D.MolDraw2DSVG(*size)
    SimilarityMaps.GetSimilarityMapFromWeights(mol, contributions.tolist(), drawing, contourLines=0)
    return _finish(drawing)


def place_contributions(explanation: Explanation, smiles: str) -> tuple[Chem.Mol, np.ndarray]:
    """Return the molecule as it is drawn, and the contributions of its atoms, each with those of its hidden hydrogens.

    Args:
        explanation, smiles: as for `draw_explanation`.
    Returns:
        The molecule without hydrogens, in the order of the geometry, and (atoms,) float32.
    Raises:
        ValueError: as for `draw_explanation`.
    """
    with BlockLogs():
        whole = Chem.Mol(arrange_molecule(smiles, explanation.atomic_numbers, explanation.positions))
        for atom in whole.GetAtoms():
            atom.SetIntProp("place", atom.GetIdx())
        drawn = Chem.RemoveHs(whole)
    shown = [atom.GetIntProp("place") for atom in drawn.GetAtoms()]
    contributions = explanation.atom_contributions.copy()
    for hidden in set(range(len(contributions))).difference(shown):
        for neighbour in whole.GetAtomWithIdx(hidden).GetNeighbors():
            contributions[neighbour.GetIdx()] += contributions[hidden]
    drawn.RemoveAllConformers()
    return drawn, contributions[shown]


def _finish(drawing: rdMolDraw2D.MolDraw2DSVG) -> str:
    drawing.FinishDrawing()
    return drawing.GetDrawingText().partition("?>")[2].strip()  # an element of a page, without its XML declaration
