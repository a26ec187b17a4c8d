"""Drawings are SVG of the right molecule; contributions lie on the right atoms."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem

from geomclip_tools.drawing import draw_explanation, draw_molecule, place_contributions
from modeling_geomclip import Explanation, read_molecule

SMILES = "OC(=O)c1ccncc1"


def make_explanation(smiles: str, order=None) -> Explanation:
    """Return an explanation in which every atom contributes its atomic number, for a geometry in some order."""
    record = read_molecule(smiles)
    order = np.arange(len(record["atomic_numbers"])) if order is None else order
    numbers, positions = record["atomic_numbers"][order], record["positions"][order]
    return Explanation(0.5, numbers, positions, numbers.astype(np.float32), [], np.zeros(0, np.float32))


def test_contributions_are_placed_whatever_the_order_of_the_geometry():
    order = np.random.default_rng(0).permutation(14)
    for explanation in (make_explanation(SMILES), make_explanation(SMILES, order)):
        mol, contributions = place_contributions(explanation, SMILES)
        assert Chem.MolToSmiles(mol) == Chem.CanonSmiles(SMILES)
        expected = [atom.GetAtomicNum() + atom.GetTotalNumHs() for atom in mol.GetAtoms()]  # a hydrogen counts 1
        assert contributions.tolist() == expected


def test_hydrogens_without_a_heavy_atom_are_drawn():
    for smiles, expected in (("[H][H]", [1, 1]), ("[2H]O[2H]", [1, 8, 1]), ("[Na+].[Cl-]", [11, 17])):
        assert sorted(place_contributions(make_explanation(smiles), smiles)[1].tolist()) == sorted(expected)


@pytest.mark.parametrize("smiles", [SMILES, "C", "[Na+].[Cl-]", "[H][H]", "O=C=O"])
def test_drawings_are_elements_of_a_page(smiles):
    for drawing in (draw_molecule(smiles, (300, 200)), draw_explanation(make_explanation(smiles), smiles, (300, 200))):
        assert ElementTree.fromstring(drawing).attrib["width"] == "300px"


def test_atoms_are_coloured_by_sign_and_size():
    explanation = make_explanation("CCO")
    explanation.atom_contributions[:] = [0.5, -0.25, *7 * [0.0001]]  # most are hydrogens
    root = ElementTree.fromstring(draw_explanation(explanation, "CCO"))
    spots = [spot.attrib["style"] for spot in root.iter("{http://www.w3.org/2000/svg}ellipse")]
    colours = np.array([list(bytes.fromhex(re.search("fill:#(.{6})", spot).group(1))) for spot in spots])
    assert [red < green for red, green, _ in colours[:2].tolist()] == [True, False]
    strengths = (255 - colours).max(axis=1)
    assert strengths[0] > strengths[1] > 20 > strengths[2]
    explanation.atom_contributions[:2] *= 1e-3  # nothing stands out
    faint = re.findall("fill:#(.{6});fill-rule", draw_explanation(explanation, "CCO"))
    assert min(min(bytes.fromhex(colour)) for colour in faint[:3]) > 235


def test_what_cannot_be_drawn():
    assert draw_molecule("C1CC") == draw_molecule("") == ""
    with pytest.raises(ValueError, match="does not have the atoms"):
        draw_explanation(make_explanation("C"), "CC")
