"""Pattern bits rule out molecules, and never one that RDKit matches."""

import numpy as np
from rdkit import Chem

from geomclip_tools.library.substructures import has_substructure, make_pattern_bits, parse_smarts

MOLECULES = (
    "CCO",
    "c1ccccc1O",
    "CC(=O)Nc1ccc(O)cc1",
    "OC(=O)CC(=O)O",
    "C1CCCCC1N",
    "[Na+].[Cl-]",
    "CC(C)(C)c1ccc(S(=O)(=O)N)cc1",
    "C[C@H](N)C(=O)O",
    "c1ccc2[nH]ccc2c1",
    "FC(F)(F)c1ccncc1Cl",
    "[2H]C([2H])([2H])O",
)
PATTERNS = (
    "[OX2H]",
    "c1ccccc1",
    "C(=O)[OX2H]",
    "[NX3;H2,H1;!$(NC=O)]",
    "[#6]~[#7]",
    "*1~*~*~*~*~*~1",
    "[Cl,Br,I]",
    "S(=O)(=O)N",
    "[R2]",
    "C!@C",
    "[Cl-].[Na+]",
    "[CX4;!R]",
)


def test_no_match_is_ruled_out():
    bits = [np.frombuffer(make_pattern_bits(Chem.MolFromSmiles(smiles)), np.uint8) for smiles in MOLECULES]
    num_ruled_out = 0
    for smarts in PATTERNS:
        pattern = parse_smarts(smarts)
        wanted = np.frombuffer(make_pattern_bits(pattern), np.uint8)
        for smiles, own in zip(MOLECULES, bits):
            is_candidate = ((own & wanted) == wanted).all()
            assert is_candidate or not has_substructure(smiles, pattern), (smiles, smarts)
            num_ruled_out += not is_candidate
    assert num_ruled_out > len(MOLECULES) * len(PATTERNS) / 3


def test_a_pattern_with_stereochemistry_matches_one_enantiomer():
    pattern, plain = parse_smarts("N[C@@H](C)C(=O)O"), parse_smarts("NC(C)C(=O)O")
    assert [has_substructure(smiles, pattern) for smiles in ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O")] == [True, False]
    assert [has_substructure(smiles, plain) for smiles in ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O")] == [True, True]
