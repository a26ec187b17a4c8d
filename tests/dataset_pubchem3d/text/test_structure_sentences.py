import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from rdkit import Chem
from rdkit.Chem import AllChem, Descriptors, rdMolDescriptors

from dataset_pubchem3d.text.structure_sentences import describe_structure

EXPECTATIONS = yaml.safe_load(
    (Path(__file__).parent / "structure_expectations.yaml").read_text(encoding="utf-8")
)  # words that must and must not occur; "|" separates alternatives
ALL_SMILES = [expectation["smiles"] for expectation in EXPECTATIONS]
SEEDS = 16  # enough for every statement to occur

# Classes held out for a test of generalisation: no text may name them.
FORBIDDEN = (
    *("barbitur", "diazepine", "diazepin", "penicillin", "penam", "cephalosporin", "cephem", "tetracycline"),
    *("amphetamine", "phenethylamine", "phenylethylamine", "tryptamine", "morphin", "opioid", "opiate", "chalcone"),
    *("stilbene", "porphyrin", "polychlorinated", "chlorobiphenyl", "chlorinated biphenyl", "dioxin", "dibenzofuran"),
    *("perfluor", "crown ether", "phthalate", "paraben", "bisphenol", "nitrosamine", "nitroso", "thiophosph"),
    *("phosphorothio", "sulfonylurea", "sulfanilamide", "quinolone", "dihydropyridine", "arylpropionic"),
    *("aryloxypropanolamine", "xanthine", "retinoid", "retinol", "polyamine", r"\bazo\b", "azobenzene", "diazenyl"),
    *("triarylmethane", "triphenylmethane", "anthraquinone", "anthracene-9,10-dione", "glycol", r"\bdiols?\b"),
    *("pyrethr", "surfactant", "siloxane", "hydrazone", "oxime", "azid", "peroxid", "acyl chloride", "acyl halide"),
    *("isocyanat", "thiourea", "guanidin", "polycyclic aromatic", "acrylate", "dithiocarbam", "fatty alcohol"),
    *("alkane", "bile acid", "cholan", "tropan", "aminoglycoside", "chlorophenoxy", "triazine", "phenylurea"),
    *("explosive", "aminobenzoate", "aminobenzoic", r"\bo?estr", "antidepress", "chlorofluorocarbon", "organomercur"),
    *("organotin", r"\bdyes?\b", "herbicid", r"\bdrugs?\b"),
)
MEMBERS = (Path(__file__).parent / "held_out_members.txt").read_text(encoding="utf-8").split()  # SMILES


def is_said(words: str, text: str) -> bool:
    """Whether one of the words separated by "|", or its plural, occurs in a text."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?:s|es)?(?!\w)", text, re.IGNORECASE) for word in words.split("|"))


@cache
def describe(smiles: str, seed: int) -> list[str]:
    return describe_structure(smiles, seed)


def write(smiles: str, seeds: int = SEEDS) -> str:
    """All sentences for several seeds."""
    return " ".join(sentence for seed in range(seeds) for sentence in describe(smiles, seed))


def test_there_are_many_expectations():
    assert len(EXPECTATIONS) >= 200
    assert len({Chem.CanonSmiles(smiles) for smiles in ALL_SMILES}) == len(EXPECTATIONS)


@pytest.mark.parametrize("expectation", EXPECTATIONS, ids=lambda expectation: expectation["name"])
def test_expected_and_forbidden_words(expectation):
    text = write(expectation["smiles"])
    assert [words for words in map(str, expectation["says"]) if not is_said(words, text)] == []
    assert [words for words in map(str, expectation["never"]) if is_said(words, text)] == []


@pytest.mark.parametrize("word", FORBIDDEN)
def test_held_out_classes_are_never_named(word):
    for smiles in MEMBERS + ALL_SMILES:
        assert not re.search(word, write(smiles, seeds=6), re.IGNORECASE), smiles


def test_enough_molecules_cover_the_held_out_classes():
    assert len(set(MEMBERS + ALL_SMILES)) > 300
    assert all(Chem.MolFromSmiles(smiles) for smiles in MEMBERS)


def test_the_spelling_of_the_smiles_does_not_matter():
    for smiles in ALL_SMILES + MEMBERS:
        mol = Chem.MolFromSmiles(smiles)
        for order in Chem.MolToRandomSmilesVect(mol, 2, randomSeed=1):
            assert describe_structure(order, 2) == describe(smiles, 2), order


def test_hydrogens_and_conformers_do_not_matter():
    mol = Chem.AddHs(Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    assert describe_structure(mol, 2) == describe_structure("CC(=O)Nc1ccc(O)cc1", 2)


def test_stereo_is_described_only_on_request():
    left, right = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"
    assert describe_structure(left, 1) == describe_structure(right, 1) == describe_structure("CC(N)C(=O)O", 1)
    assert "It has one stereocentre of S configuration." in describe_structure(left, 1, with_stereo=True)
    assert "It has one stereocentre of R configuration." in describe_structure(right, 1, with_stereo=True)
    assert "It has one double bond of E configuration." in describe_structure("C/C=C/C", with_stereo=True)
    assert "configuration" not in " ".join(describe_structure("CC=CC", with_stereo=True))


def test_only_the_seed_changes_the_words():
    assert describe_structure("Clc1ccncc1", 3) == describe_structure("Clc1ccncc1", 3)
    assert len({tuple(describe_structure("Clc1ccncc1", seed)) for seed in range(10)}) > 5


def test_every_sentence_can_be_dropped_or_moved():
    for smiles in ALL_SMILES:
        for seed in range(4):
            sentences = describe(smiles, seed)
            assert len(set(sentences)) == len(sentences) > 0
            assert " ".join(sentences).split(". ") == [s[:-1] for s in sentences[:-1]] + sentences[-1:]
            for sentence in sentences:
                assert re.fullmatch(r"[A-Z0-9(\[].*[^ ]\.", sentence), sentence
                assert not re.search(r"\b(also|another|former|latter|therefore)\b|  ", sentence), sentence


def test_no_sentence_states_formula_mass_or_line_notation():
    for smiles in ALL_SMILES:
        mol, text = Chem.MolFromSmiles(smiles), write(smiles, seeds=4)
        if mol.GetNumAtoms() > 2:
            for told in (rdMolDescriptors.CalcMolFormula(mol), Chem.MolToSmiles(mol), f"{Descriptors.MolWt(mol):.1f}"):
                assert told not in text


def test_articles_and_verbs_agree():
    text = " ".join(write(smiles, seeds=4) for smiles in ALL_SMILES)
    assert not re.search(r"\ba (?:a[lm]|e[nspt]|i[mns]|o[lnrx][^e]|N-)", text)
    assert not re.search(r"\ban (?:[bcdfgkpqt]|ure|uni|one\b)", text)
    assert not re.search(r"\b(?:one|an?) [a-z-]+ (?:groups|rings|atoms)\b(?<!and)", text)
    assert not re.search(r"\b(?:two|three|four|five) [a-z-]+ (?:group|ring|atom)\b", text)


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("[Fe+3]", "iron"), ("[Na+].[Cl-]", "sodium"), ("O", "oxygen"), ("[He]", "helium"), ("C", "carbon and hydrogen")],
)
def test_every_molecule_has_a_description(smiles, expected):
    assert is_said(expected, write(smiles))


def test_wildcards_and_metals_are_read():
    assert describe_structure("*CC(=O)O")
    assert describe_structure("[NH3][Pt]([NH3])(Cl)Cl")
    assert describe_structure("[H][H]")


@pytest.mark.parametrize("smiles", ["", "not a molecule", "C1CC"])
def test_an_invalid_smiles_is_refused(smiles):
    with pytest.raises(ValueError, match="RDKit cannot read the SMILES"):
        describe_structure(smiles)


def test_the_texts_are_plain_text():
    for smiles in ALL_SMILES[::5]:
        text = " ".join(describe_structure(smiles))
        assert json.loads(json.dumps(text)) == text
        assert text.isascii()
