"""Draw molecules as SVG, and the contributions of their atoms to a similarity."""

import numpy as np
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.rdBase import BlockLogs

from dataset_pubchem3d.chemistry.perception import arrange_molecule
from modeling_geomclip import Explanation

SIZE = (220, 160)  # width and height, pixels
GREEN, PINK = (0.18, 0.62, 0.42), (0.84, 0.25, 0.62)
STRENGTH = 0.8  # of the colour of the largest contribution, in comparison with white
RADIUS = 0.45  # of the spot of an atom, in units of a bond's length
FULL_COLOUR = 0.02  # contribution that has the full colour, if all are smaller


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
    shares = contributions / max(FULL_COLOUR, *np.abs(contributions))
    colours = {atom: _blend(share) for atom, share in enumerate(shares.tolist())}
    drawing = rdMolDraw2D.MolDraw2DSVG(*size)
    drawing.drawOptions().prepareMolsBeforeDrawing = False  # the atoms would get other indices
    drawing.DrawMolecule(
        rdMolDraw2D.PrepareMolForDrawing(mol),
        highlightAtoms=[*colours],
        highlightAtomColors=colours,
        highlightAtomRadii=dict.fromkeys(colours, RADIUS),
        highlightBonds=[],
    )
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


def _blend(share: float) -> tuple[float, ...]:
    """Return the colour of a share from -1 to 1; white for 0. Not all viewers can draw transparent colours."""
    return tuple(1 - STRENGTH * abs(share) * (1 - part) for part in (GREEN if share > 0 else PINK))


def _finish(drawing: rdMolDraw2D.MolDraw2DSVG) -> str:
    drawing.FinishDrawing()
    return drawing.GetDrawingText().partition("?>")[2].strip()  # an element of a page, without its XML declaration
