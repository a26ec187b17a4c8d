import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE, make_ecfp4

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize("num_bits", [256, FINGERPRINT_SIZE])
def test_ecfp4_is_the_morgan_fingerprint_of_radius_two(num_bits):
    mol = Chem.MolFromSmiles(ASPIRIN)
    expected = rdMolDescriptors.GetMorganFingerprintAsBitVect(mol, 2, num_bits)
    assert list(make_ecfp4(num_bits).GetFingerprint(mol).GetOnBits()) == list(expected.GetOnBits())


def test_counts_are_folded_to_the_same_bits():
    mol = Chem.MolFromSmiles(ASPIRIN)
    counts = make_ecfp4().GetCountFingerprintAsNumPy(mol)
    assert counts.shape == (FINGERPRINT_SIZE,)
    assert counts.nonzero()[0].tolist() == list(make_ecfp4().GetFingerprint(mol).GetOnBits())
    assert counts.max() > 1
