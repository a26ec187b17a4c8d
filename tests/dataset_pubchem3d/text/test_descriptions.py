import json

import pytest

from dataset_pubchem3d.text.descriptions import (
    NAME_SENTENCES,
    PROPERTY_FORMATS,
    Facts,
    Measurement,
    compose_text,
    select_facts,
)

MELTING = Measurement("melting point", 266.15, "the CRC Handbook")
DENSITY = Measurement("density", 975.4, "the CRC Handbook")
FLASH = Measurement("flash point", 300.0, "the standard NFPA 497")


def select(title="furfurol", iupac_name="furan-2-carbaldehyde", synonyms=(), measurements=(), **changes):
    known = {"has_stereo": False, "formula": "C5H4O2", "masses": (96.085, 96.021)}
    return select_facts(title, iupac_name, synonyms, measurements, **(known | changes))


def test_the_printed_value():
    assert MELTING.printed == "-7.0 °C"
    assert DENSITY.printed == "0.975 g/cm³"
    assert Measurement("critical temperature", 670.02, "x").printed == "670.0 K"
    assert Measurement("boiling point", 434.85, "x").printed == "161.7 °C"
    assert len(PROPERTY_FORMATS) == 5


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            Facts("furfurol", "furan-2-carbaldehyde", ("fural", "furole"), (MELTING, DENSITY)),
            {
                "Furfurol, in IUPAC nomenclature furan-2-carbaldehyde, is also known as fural and furole.",
                "Furfurol is the compound with the IUPAC name furan-2-carbaldehyde. Other names are fural and furole.",
                "The molecule is furfurol, also called fural and furole. Its systematic name is furan-2-carbaldehyde.",
                "Furfurol, also known as fural and furole, has the IUPAC name furan-2-carbaldehyde.",
            },
        ),
        (
            Facts("furfurol", None, ("fural", "furole", "furale"), (MELTING, DENSITY)),
            {
                "Furfurol is also known as fural, furole and furale.",
                "The molecule is furfurol, also called fural, furole and furale.",
                "Furfurol is a compound that is also called fural, furole and furale.",
            },
        ),
        (
            Facts("furfurol", None, (), (MELTING, DENSITY)),
            {"The molecule is furfurol.", "This is the compound furfurol.", "The compound is called furfurol."},
        ),
    ],
)
def test_every_sentence_as_written_by_hand(facts, expected):
    tails = {
        " The CRC Handbook lists a melting point of -7.0 °C and a density of 0.975 g/cm³.",
        " According to the CRC Handbook, the melting point is -7.0 °C and the density is 0.975 g/cm³.",
        " Its melting point is -7.0 °C and its density is 0.975 g/cm³, as given by the CRC Handbook.",
    }
    seen = {compose_text(facts, f"KEY{i}") for i in range(300)}
    assert seen == {names + tail for names in expected for tail in tails}


def test_the_wording_depends_only_on_the_key():
    facts = select(synonyms=["fural"], measurements=[MELTING, FLASH])
    assert compose_text(facts, "A") == compose_text(facts, "A")
    assert all(len(forms) >= 3 for forms in NAME_SENTENCES.values())


def test_facts_of_one_source_share_a_sentence():
    text = compose_text(Facts("furfurol", None, (), (MELTING, FLASH, DENSITY)), "A")
    assert text.count("CRC Handbook") == text.count("NFPA 497") == 1
    assert text.count(". ") == 2


def test_title_then_iupac_name_then_synonym_leads():
    assert select().name == "furfurol"
    assert select(title="98-01-1").name == "furan-2-carbaldehyde"
    assert select(title="nsc 8841", iupac_name="", synonyms=["u776", "fural"]).name == "fural"
    assert select(title="98-01-1", iupac_name="", synonyms=["c5h4o2"]) is None


def test_the_iupac_name_is_stated_only_if_it_differs():
    assert select().iupac_name == "furan-2-carbaldehyde"
    assert select(title="furan 2-carbaldehyde").iupac_name is None
    assert select(title="98-01-1").iupac_name is None
    assert select(iupac_name="").iupac_name is None


def test_at_most_three_distinct_synonyms_in_order():
    synonyms = ["2-furancarbaldehyde", "furfurol", "fural", "furole", "fur-al", "furale", "furaldehyde"]
    assert select(synonyms=synonyms).synonyms == ("fural", "furole", "furale")
    assert select(synonyms=["2-carbaldehyde furan", "furan-carbaldehyde-2"]).synonyms == ("2-carbaldehyde furan",)


def test_a_name_with_the_formula_is_dropped():
    assert select(synonyms=["aldehyde c5h4o2"]).synonyms == ()


@pytest.mark.parametrize("kelvin", [273.15 + 96.1, 273.15 + 96.0])
def test_a_number_that_could_be_the_mass_is_dropped(kelvin):
    boiling = Measurement("boiling point", kelvin, "the CRC Handbook")
    assert select(measurements=[boiling, DENSITY]).measurements == (DENSITY,)
    assert select(measurements=[boiling], masses=(100.1, 100.0)).measurements == (boiling,)


def test_facts_as_json():
    facts = json.loads(select(synonyms=["fural"], measurements=[MELTING]).to_json())
    assert facts == {
        "name": "furfurol",
        "iupac_name": "furan-2-carbaldehyde",
        "synonyms": ["fural"],
        "measurements": [{"kind": "melting point", "value": 266.15, "source": "the CRC Handbook"}],
    }
