import pytest
from chemicals import critical, identifiers, phase_change, safety
from rdkit import Chem

from dataset_pubchem3d.sources.chemicals import MEASURED_TABLES, cas_digits, read_compounds, read_measurements


@pytest.fixture(scope="module")
def measurements():
    return read_measurements()


def test_compounds_against_the_package_itself():
    compounds = [compound for compound, _ in zip(read_compounds(), range(400), strict=False)]
    for compound in compounds:
        known = identifiers.pubchem_db.search_CAS(int(cas_digits(compound.cas)))
        assert (compound.cid, compound.cas) == (known.pubchemid, known.CASs)
        assert compound.inchi == f"InChI=1S/{known.InChI}"
        assert (compound.inchikey, compound.smiles) == (known.InChI_key, known.smiles)
        assert (compound.iupac_name, compound.title) == (known.iupac_name, known.common_name)


def test_the_record_is_consistent():
    for compound, _ in zip(read_compounds(), range(2000), strict=False):
        assert Chem.InchiToInchiKey(compound.inchi) == compound.inchikey


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


def test_every_substance_has_one_value_of_a_kind(measurements):
    for facts in measurements.values():
        kinds = [fact.kind for fact in facts]
        assert len(kinds) == len(set(kinds))
        assert all(fact.value > 0 for fact in facts)


def test_the_first_table_wins(measurements):
    toluene = {fact.kind: fact.source for fact in measurements[cas_digits("108-88-3")]}
    assert toluene["melting point"] == toluene["boiling point"] == "the CRC Handbook"


def test_no_table_of_estimates_is_listed():
    for table in MEASURED_TABLES:
        assert not any(
            word in table.file.lower() for word in ("joback", "predict", "yaws", "psrk", "wikidata", "webbook")
        )
        assert table.reason
