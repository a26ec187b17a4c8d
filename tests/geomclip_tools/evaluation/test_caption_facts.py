"""Facts of molecules and captions with known chemistry, and of a table of real pairs if it is available."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from geomclip_tools.evaluation.caption_facts import (
    FACTS,
    KINDS,
    Fact,
    _compile,
    compute_fact_precision_recall,
    count_facts,
    find_molecule_facts,
    find_stated_facts,
)

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pairs.parquet"
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
GLYCINE = "[NH3+]CC(=O)[O-]"
CHOLESTEROL = "C[C@H](CCCC(C)C)[C@H]1CC[C@@H]2[C@@]1(CC[C@H]3[C@H]2CC=C4[C@@]3(CC[C@@H](C4)O)C)C"
ATP = "C1=NC(=C2C(=N1)N(C=N2)[C@H]3[C@@H]([C@@H]([C@H](O3)COP(=O)(O)OP(=O)(O)OP(=O)(O)O)O)O)N"


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        (ASPIRIN, "acetyl|benzene|carboxylic acid|ester|oxo|oxygen"),
        (CAFFEINE, "imidazole|lactam|nitrogen|oxo|oxygen|purine|pyrimidine|urea"),
        (
            GLYCINE,
            "alpha-amino acid|amino|anion|carboxylic acid|cation|nitrogen|oxygen|primary amine|zwitterion",
        ),
        (CHOLESTEROL, "alcohol|cyclohexane|double bond|hydroxy|isopropyl|oxygen|steroid"),
        (
            ATP,
            "alcohol|amino|diphosphate|ether|furan|hydroxy|imidazole|nitrogen|oxygen|phosphate|phosphorus|"
            "primary amine|purine|pyrimidine",
        ),
        ("O=[N+]([O-])c1ccccc1", "benzene|nitro|nitrogen|oxygen"),
        ("CC(=O)[O-].[Na+]", "acetyl|anion|carboxylic acid|cation|oxygen|sodium"),
        ("[S-2].[Ca+2]", "anion|cation|sulfur"),
        ("CCN(CC)CC#N.Cl.O", "amino|chlorine|hydrate|hydrochloride|nitrile|nitrogen|oxygen|tertiary amine"),
        ("CS(=O)(=O)c1ccc(C(F)(F)F)s1", "fluorine|sulfone|sulfur|thiophene|trifluoromethyl|oxygen"),
        ("C", ""),
    ],
)
def test_molecules_hold_exactly_these_facts(smiles, expected):
    expected = set(filter(None, expected.split("|")))
    assert find_molecule_facts(smiles) == expected
    assert find_molecule_facts(Chem.MolFromSmiles(smiles)) == expected


@pytest.mark.parametrize(
    ("neutral", "charged", "fact"),
    [
        ("CC(=O)O", "CC(=O)[O-]", "carboxylic acid"),
        ("COP(=O)(O)O", "COP(=O)([O-])[O-]", "phosphate"),
        ("CS(=O)(=O)O", "CS(=O)(=O)[O-]", "sulfonic acid"),
        ("CN", "C[NH3+]", "primary amine"),
        ("CNC", "C[NH2+]C", "secondary amine"),
        ("CN(C)C", "C[NH+](C)C", "tertiary amine"),
        ("Oc1ccccc1", "[O-]c1ccccc1", "phenol"),
    ],
)
def test_a_group_is_met_in_either_protonation_state(neutral, charged, fact):
    assert fact in find_molecule_facts(neutral) & find_molecule_facts(charged)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("The molecule is a monocarboxylic acid and a methyl ester.", "carboxylic acid|ester"),
        ("It is 4-hydroxybenzoic acid.", "hydroxy|benzene|carboxylic acid"),
        ("It is a polyester resin.", ""),
        ("It is a phosphonate.", ""),
        ("It is an organic PHOSPHATE.", "phosphate"),
        ("It is an isoquinoline alkaloid.", "isoquinoline"),
        ("It is a quinoline.", "quinoline"),
        ("It is an isoindole, an isothiazole and a thiophenol.", "benzene"),
        ("It is nitrogen gas and a nitrosamine.", "amino"),
        ("It is a sulfonamide.", "sulfonamide"),
        ("It is an amino acid anion.", "anion"),
        ("It is a nucleotide(2-) and a cobalt(3+).", "anion|cation"),
        ("It is a non-steroidal agent.", ""),
        ("It is an indole lacking a chloro group, a nitrile.", "indole|nitrile"),
        ("It is the hydrochloride salt of an amine.", "hydrochloride|chlorine|amino"),
        ("It is an indole, taken as the hydrochloride salt. The sodium salt is a dye; a nitrile.", "indole|nitrile"),
        ("It is a ketone. It derives from a benzoic acid. It is a conjugate base of an aniline.", "oxo|ketone"),
        ("It has a role as a steroid hormone. It is an epoxide.", "epoxide"),
        ("It is a diester obtained by formal condensation of the carboxy group of X with an alcohol; a urea.", "ester"),
        ("It is anisole in which the hydroxy group is replaced by a chloro group.", "chlorine"),
        ("It inhibits a sodium channel.", ""),
        ("", ""),
    ],
)
def test_captions_state_exactly_these_facts(caption, expected):
    assert find_stated_facts(caption) == set(filter(None, expected.split("|")))


def test_every_fact_of_the_table_can_be_stated_and_missed():
    everywhere = find_molecule_facts(ASPIRIN) | find_molecule_facts("C")
    assert len({fact.name for fact in FACTS}) == len(FACTS) > 50
    assert len(everywhere) < len(FACTS) / 4
    assert find_stated_facts("The molecule is a metabolite of an unknown plant, it is a solid.") == set()


def test_counts_and_their_quotients_by_hand():
    captions = ["It is an organochlorine compound and a steroid.", "It is a ketone.", "", "It is a purine."]
    scores = count_facts(captions, [CHOLESTEROL, ASPIRIN, "CCl", Chem.MolFromSmiles(CAFFEINE)])
    assert {name: column.tolist() for name, column in scores.items()} == {
        "stated": [2, 2, 0, 1],  # a ketone has an oxo group
        "true": [1, 1, 0, 1],
        "present": [7, 6, 1, 8],
        "false_element": [1, 0, 0, 0],
        "false_ring": [0, 0, 0, 0],
        "false_charge": [0, 0, 0, 0],
    }
    assert all(column.dtype == np.int64 for column in scores.values())
    assert compute_fact_precision_recall(scores) == (3 / 5, 3 / 22)
    assert compute_fact_precision_recall(scores, np.array([3, 3, 0])) == (3 / 4, 3 / 23)
    assert compute_fact_precision_recall(scores, np.array([True, False, True, False])) == (1 / 2, 1 / 8)
    assert compute_fact_precision_recall(scores, np.array([2])) == (pytest.approx(np.nan, nan_ok=True), 0)
    assert np.isnan(compute_fact_precision_recall(count_facts([], []))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_molecule_facts("C1CC"), "cannot read SMILES 'C1CC'"),
        (lambda: count_facts(["a", "b"], ["C", "N)"]), r"row 1: RDKit cannot read SMILES 'N\)'"),
        (lambda: count_facts(["a"], ["C", "N"]), "1 captions for 2 molecules"),
        (lambda: _compile([Fact("a", "a", "C"), Fact("b", "b", "C(")]), r"fact 'b' has unreadable SMARTS 'C\('"),
        (lambda: _compile([Fact("a", "a", "C"), Fact("a", "b", "N")]), r"facts \['a'\] are listed more than once"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_true_captions_state_true_facts():
    table = pq.read_table(REAL, columns=["smiles", "text"]).to_pydict()
    smiles = [line.replace("\\\\", "\\") for line in table["smiles"]]
    present = [find_molecule_facts(line) for line in smiles]
    stated = [find_stated_facts(text) for text in table["text"]]
    true = Counter(name for row, text in zip(present, stated) for name in row & text)
    said = Counter(name for text in stated for name in text)
    assert min(said[fact.name] for fact in FACTS) >= 20
    assert {name: true[name] / said[name] for name in said if true[name] < 0.9 * said[name]} == {}
    assert true.total() / said.total() > 0.95
    of_the_next = sum(len(row & text) for row, text in zip(present[1:], stated)) / said.total()
    assert of_the_next < 0.3  # facts distinguish molecules


@pytest.mark.parametrize(
    ("caption", "false"),
    [
        ("It is an organochlorine compound.", ("element",)),
        ("It is a benzene.", ()),
        ("It is a pyridine and a steroid.", ("ring",)),
        ("It is a dicarboxylic acid dianion and an organofluorine compound.", ("element", "charge")),
        ("It is a ketone.", ()),  # neither an element nor a ring nor a charge
        ("It derives from a pyridine.", ()),
    ],
)
def test_false_elements_rings_and_charges(caption, false):
    counts = count_facts([caption], ["Cc1ccccc1"])
    assert {kind for kind in KINDS if counts[f"false_{kind}"][0]} == set(false)


def test_kinds_are_of_known_facts():
    names = {fact.name for fact in FACTS}
    assert all(kind <= names for kind in KINDS.values())
    assert sum(map(len, KINDS.values())) == len(frozenset().union(*KINDS.values()))
