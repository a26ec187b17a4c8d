import json
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from chemicals import critical, identifiers, phase_change, safety
from rdkit import Chem

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.chemicals import MEASURED_TABLES, Chemicals, read_measurements, strip_hyphens


@pytest.fixture(scope="module")
def measurements():
    return read_measurements()


@pytest.fixture(scope="module")
def texts():
    """Texts of the first 400 records that have a readable name."""
    source, found = Chemicals(), []
    for raw in islice(source.read_records(Path()), 400):
        with suppress(RecordError):
            found += source.parse_texts(raw)
    return found


def test_compounds_against_the_package_itself(texts):
    assert len(texts) > 300
    for text in texts:
        known = identifiers.pubchem_db.search_CAS(int(strip_hyphens(text.source_id)))
        assert (text.cid, text.compound.cid, text.source_id) == (known.pubchemid, known.pubchemid, known.CASs)
        assert text.compound.inchi == f"InChI=1S/{known.InChI}"
        assert text.compound.inchikey == known.InChI_key == Chem.InchiToInchiKey(text.compound.inchi)
        assert text.compound.smiles == Chem.CanonSmiles(known.smiles)
        assert text.compound.title == known.common_name


def test_texts_are_composed_and_attributed(texts):
    for text in texts:
        assert text.is_composed
        assert text.name in text.text.lower()
        assert (text.kind == "names_and_properties") == bool(json.loads(text.raw)["measurements"])
        assert text.url.endswith(f"/compound/{text.cid}")


def test_a_record_without_a_readable_name_is_refused():
    line = "\t".join(["7", "50-00-0", "CH2O", "30", "C=O", "CH2O/c1-2/h1H2", "WSFSSNUMVMOOMR-UHFFFAOYSA-N", "", "q7"])
    with pytest.raises(RecordError, match="CID 7: none of its names reads as words"):
        Chemicals().parse_texts(line)
    with pytest.raises(RecordError, match="CID 7: RDKit cannot read the SMILES"):
        Chemicals().parse_texts(line.replace("C=O", "C=O=C"))


@pytest.mark.parametrize(
    ("kind", "lookup", "methods"),
    [
        ("melting point", phase_change.Tm, {"the CRC Handbook": "CRC_ORG", "CAS Common Chemistry": "COMMON_CHEMISTRY"}),
        ("boiling point", phase_change.Tb, {"the CRC Handbook": "CRC_ORG"}),
        ("critical temperature", critical.Tc, {"the CRC Handbook": "CRC"}),
        ("flash point", safety.T_flash, {"the standard NFPA 497": "NFPA 497 (2008)"}),
    ],
)
def test_values_against_the_package_itself(measurements, kind, lookup, methods):
    checked = 0
    for digits, facts in measurements.items():
        cas = f"{digits[:-3]}-{digits[-3:-1]}-{digits[-1]}"
        for fact in facts:
            if fact.kind == kind and fact.source in methods and checked < 500:
                assert lookup(cas, method=methods[fact.source]) == pytest.approx(fact.value)
                checked += 1
    assert checked >= 40


def test_every_substance_has_one_value_per_kind(measurements):
    for facts in measurements.values():
        kinds = [fact.kind for fact in facts]
        assert len(kinds) == len(set(kinds))
        assert all(fact.value > 0 for fact in facts)


def test_the_first_table_wins(measurements):
    toluene = {fact.kind: fact.source for fact in measurements[strip_hyphens("108-88-3")]}
    assert toluene["melting point"] == toluene["boiling point"] == "the CRC Handbook"


def test_no_table_of_estimates_is_listed():
    for table in MEASURED_TABLES:
        assert not any(
            word in table.file.lower() for word in ("joback", "predict", "yaws", "psrk", "wikidata", "webbook")
        )
        assert table.reason
