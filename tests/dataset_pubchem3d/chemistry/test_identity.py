import numpy as np
import pytest

from dataset_pubchem3d.chemistry.identity import BLOCK, INCHIKEY, KEY, compute_inchikey, take_first_block

ETHANOL = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"


def test_the_inchikey_of_a_smiles_and_its_first_block():
    assert compute_inchikey("OCC") == ETHANOL
    assert take_first_block(ETHANOL) == take_first_block("LFQSCWFLJHTTHZ") == "LFQSCWFLJHTTHZ"
    alanines = {compute_inchikey(smiles) for smiles in ("C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O")}
    assert len(alanines) == 2
    assert len(set(map(take_first_block, alanines))) == 1


@pytest.mark.parametrize("smiles", ["C(C", "not a molecule", "*"])
def test_smiles_without_an_inchikey(smiles):
    assert compute_inchikey(smiles) == ""


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(ETHANOL, True), (ETHANOL[:14], True), (ETHANOL[:-2], False), (ETHANOL.lower(), False), ("CCO", False)],
)
def test_the_pattern_of_inchikeys(text, is_one):
    assert (INCHIKEY.fullmatch(text) is not None) is is_one


def test_keys_and_blocks_fit_into_their_types():
    assert np.array([ETHANOL], KEY).astype(str).tolist() == [ETHANOL]
    assert np.array([ETHANOL], BLOCK).astype(str).tolist() == [take_first_block(ETHANOL)]
