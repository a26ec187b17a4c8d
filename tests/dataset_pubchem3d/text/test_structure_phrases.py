from random import Random

from rdkit import Chem

from dataset_pubchem3d.chemistry.classes import classify
from dataset_pubchem3d.text.structure_phrases import list_phrases


def list_all(smiles, seeds=60):
    found = classify(Chem.MolFromSmiles(smiles))
    return {phrase for seed in range(seeds) for phrase in list_phrases(found, Random(seed))}


def test_phrases_are_short_and_about_the_molecule():
    phrases = list_all("OC(=O)c1ccnc(Cl)c1")
    assert {"pyridine", "Pyridine"} & phrases
    assert "a chlorinated heteroaromatic acid" in phrases
    assert {"chlorine and pyridine", "pyridine and chlorine"} & phrases
    assert max(len(phrase.replace(",", "").split()) for phrase in phrases) <= 16
    assert sum(len(phrase.split()) <= 6 for phrase in phrases) > len(phrases) / 2


def test_a_sugar_is_not_an_aromatic_alcohol_and_a_phenol_is_not_an_alcohol():
    assert not any("alcohol" in phrase for phrase in list_all("Oc1ccccc1"))
    assert any("aliphatic alcohol" in phrase or "open-chain alcohol" in phrase for phrase in list_all("CCO"))
    assert not any("aromatic" in phrase for phrase in list_all("OC1CCCCC1"))


def test_there_may_be_no_phrases():
    assert list_all("[He]") == set()
