import pickle
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.records import (
    GEOMETRY_SCHEMA,
    TEXT_SCHEMA,
    Compound,
    Geometry,
    RecordError,
    Text,
    check_geometry,
    make_compound_row,
    make_geometry_columns,
    make_text_row,
)
from dataset_pubchem3d.schema import FEATURES, GEOMETRY_COLUMNS

WATER = [8, 1, 1]
POSITIONS = [[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]]
ETHANOL = Compound(
    inchikey="LFQSCWFLJHTTHZ-UHFFFAOYSA-N",  # PubChem's, for CID 702
    inchi="InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
    smiles="CCO",
    n_heavy=3,
    formal_charge=0,
    cid=702,
    title="Ethanol",
    synonyms=("ethyl alcohol", "alcohol"),
)


def refusal(*arguments) -> RecordError:
    with pytest.raises(RecordError) as caught:
        check_geometry("record 7", *arguments)
    return caught.value


# ---------------------------------------------------------------------------------------------------------- bad records


def test_a_bad_record_has_its_id_reason_and_detail():
    error = RecordError("record 7", "no atoms", "0 of them")
    assert str(error) == "record 7: no atoms (0 of them)"
    assert str(RecordError("record 7", "no atoms")) == "record 7: no atoms"


def test_a_bad_record_can_be_pickled():
    error = pickle.loads(pickle.dumps(RecordError("record 7", "no atoms", "0 of them")))
    assert (error.record_id, error.reason, error.detail) == ("record 7", "no atoms", "0 of them")


# ------------------------------------------------------------------------------------------------------------ compounds


def test_ethanol_has_the_identifiers_of_pubchem():
    names = {"cid": 702, "title": "Ethanol", "synonyms": ("ethyl alcohol", "alcohol")}
    assert Compound.from_smiles("OCC", "record 7", **names) == ETHANOL


@pytest.mark.parametrize(
    ("smiles", "n_heavy", "formal_charge"),
    [
        ("C[C@H](N)C(=O)O", 6, 0),
        ("CC(N)C(O)=O", 6, 0),
        ("[NH3+]CC([O-])=O", 5, 0),
        ("C[NH3+]", 2, 1),
        ("[Na+].CC([O-])=O", 5, 0),
        ("[O-]S(=O)(=O)[O-]", 5, -2),
        ("[2H]O[2H]", 1, 0),
        ("[H][H]", 0, 0),
        ("C/C=C/C", 4, 0),
        ("C1=CC=CC=C1", 6, 0),
    ],
)
def test_the_identifiers_of_a_smiles_are_those_of_rdkit(smiles, n_heavy, formal_charge):
    compound, mol = Compound.from_smiles(smiles, "record 7"), Chem.MolFromSmiles(smiles)
    assert compound.inchikey == Chem.MolToInchiKey(mol)
    assert compound.inchi == Chem.MolToInchi(mol)
    assert compound.smiles == Chem.CanonSmiles(smiles)
    assert (compound.n_heavy, compound.formal_charge) == (n_heavy, formal_charge)
    assert (compound.cid, compound.title, compound.synonyms) == (None, "", ())


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "RDKit cannot read the SMILES"),
        ("CN(C)(C)(C)C", "RDKit cannot read the SMILES"),
        ("", "RDKit cannot read the SMILES"),
        ("C*", "RDKit finds no InChI"),
    ],
)
def test_a_smiles_that_cannot_be_used_is_refused_and_rdkit_stays_silent(smiles, reason, capfd):
    with pytest.raises(RecordError) as caught:
        Compound.from_smiles(smiles, "record 7")
    assert (caught.value.record_id, caught.value.reason, caught.value.detail) == ("record 7", reason, smiles)
    assert capfd.readouterr().err == ""


# ----------------------------------------------------------------------------------------------------------- geometries


@pytest.mark.parametrize("atomic_numbers", [[], np.empty((0,), int)])
@pytest.mark.parametrize("positions", [[], np.empty((0, 3)), np.empty((1, 0, 3)), POSITIONS])
def test_a_geometry_without_atoms_is_refused(atomic_numbers, positions):
    assert refusal(atomic_numbers, positions).reason == "the geometry has no atoms"


@pytest.mark.parametrize(
    ("atomic_numbers", "positions"),
    [
        (WATER, POSITIONS[:2]),
        (WATER[:2], POSITIONS),
        (WATER, np.zeros((3, 2))),
        (WATER, np.zeros((3, 4))),
        (WATER, np.zeros(9)),
        (WATER, np.zeros((0, 3, 3))),
        (WATER, np.zeros((2, 4, 3))),
        (WATER, np.zeros((1, 1, 3, 3))),
        ([WATER], POSITIONS),
        ([[8], [1], [1]], POSITIONS),
    ],
)
def test_mismatched_shapes_are_refused(atomic_numbers, positions):
    error = refusal(atomic_numbers, positions)
    assert (error.record_id, error.reason) == ("record 7", "numbers of atoms and positions differ")
    assert str(np.shape(positions)[-1]) in error.detail


@pytest.mark.parametrize("number", [0, -1, 119, 256 + 6, 6.0, 6.5, True, "C"])
def test_an_invalid_atomic_number_is_refused(number):
    error = refusal([number], [[0.0, 0.0, 0.0]])
    assert error.reason == "an atomic number is not one of 1 to 118"
    assert str(number) in error.detail


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 2)])
def test_a_coordinate_that_is_not_finite_is_refused(place, value):
    positions = np.zeros((2, 3, 3))
    positions[place] = value
    assert refusal(WATER, positions).reason == "a coordinate is not finite"


@pytest.mark.parametrize(
    "energies", [[], [1.0], [1.0, 2.0, 3.0], 1.0, [[1.0], [2.0]], [1.0, np.nan], [np.inf, 1.0], [-np.inf, 1.0]]
)
def test_energies_must_be_one_finite_number_per_conformer(energies):
    error = refusal(WATER, [POSITIONS, POSITIONS], energies)
    assert error.reason == "energies are not one finite number per conformer"


@pytest.mark.parametrize("number", [1, 118])
def test_all_elements_are_known(number):
    assert check_geometry("a", [number], [[0.0, 0.0, 0.0]]).atomic_numbers.tolist() == [number]


def test_a_geometry_has_the_documented_types_and_shapes():
    geometry = check_geometry("a", np.array(WATER, np.int64), POSITIONS, [5], method="PM6", license="CC0-1.0")
    assert (geometry.geometry_id, geometry.method, geometry.license) == ("a", "PM6", "CC0-1.0")
    assert (geometry.atomic_numbers.dtype, geometry.positions.dtype) == (np.uint8, np.float32)
    assert geometry.positions.shape == (1, 3, 3)
    np.testing.assert_array_equal(geometry.positions[0], np.float32(POSITIONS))
    assert geometry.energies.dtype == np.float64
    assert geometry.energies.tolist() == [5.0]


def test_missing_values_of_a_source_are_none():
    geometry = check_geometry("a", WATER, POSITIONS)
    assert (geometry.energies, geometry.method, geometry.license) == (None, None, None)


def test_conformers_are_sorted_stably_by_energy():
    positions = [[[float(place), 0.0, 0.0]] for place in range(5)]
    geometry = check_geometry("a", [2], positions, [3.0, -1.0, 3.0, 2.0, -1.0])
    assert geometry.energies.tolist() == [-1.0, -1.0, 2.0, 3.0, 3.0]
    assert geometry.positions[:, 0, 0].tolist() == [1.0, 4.0, 3.0, 0.0, 2.0]

    many = [[[float(place), 0.0, 0.0]] for place in range(100)]  # any algorithm sorts a few stably
    geometry = check_geometry("a", [2], many, [float(place % 2) for place in range(100)])
    assert geometry.positions[:, 0, 0].tolist() == [*range(0, 100, 2), *range(1, 100, 2)]


def test_conformers_without_energies_keep_their_order():
    geometry = check_geometry("a", [2], [[[3.0, 0, 0]], [[1.0, 0, 0]], [[2.0, 0, 0]]])
    assert geometry.positions[:, 0, 0].tolist() == [3.0, 1.0, 2.0]


# -------------------------------------------------------------------------------------------------------------- columns

HELIUM = check_geometry("a", [2], [[[1, 1, 1]], [[0, 0, 0]], [[2, 2, 2]]], [1.5, -0.5, 2.5])
HYDROGEN = check_geometry("b", [1, 1], [[0, 0, 0], [0, 0, 0.75]])
NEON = check_geometry("c", [10], [[[3, 4, 5]], [[6, 7, 8]]])


@pytest.mark.parametrize(
    ("num_conformers", "further"),
    [
        (1, [[], [], []]),
        (2, [[[[1, 1, 1]]], [], [[[6, 7, 8]]]]),
        (9, [[[[1, 1, 1]], [[2, 2, 2]]], [], [[[6, 7, 8]]]]),
    ],
)
def test_columns_have_the_lowest_conformer_and_the_others_that_are_kept(num_conformers, further):
    columns = make_geometry_columns([HELIUM, HYDROGEN, NEON], num_conformers)
    for column in columns.values():
        column.validate(full=True)
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "atomic_numbers": [[2], [1, 1], [10]],
        "positions": [[[0, 0, 0]], [[0, 0, 0], [0, 0, 0.75]], [[3, 4, 5]]],
        "further_positions": further,
        "n_conformers": [3, 1, 2],
        "conformer_energy": [-0.5, None, None],
        "geometry_id": ["a", "b", "c"],
    }


@pytest.mark.parametrize("geometries", [[], [HYDROGEN], [HELIUM, NEON]])
def test_columns_have_the_types_of_both_schemas_for_any_content(geometries):
    published = FEATURES.arrow_schema
    for name, column in make_geometry_columns(geometries, 2).items():
        assert column.type == GEOMETRY_SCHEMA.field(name).type
        assert column.type == published.field(name).type, name
        assert len(column) == len(geometries)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=6), st.integers(1, 5))
def test_columns_of_any_sizes_agree_with_lists(sizes, num_conformers):
    geometries = [
        Geometry(
            str(place), np.full(atoms, atoms, np.uint8), np.random.default_rng(place).random((count, atoms, 3), "f")
        )
        for place, (atoms, count) in enumerate(sizes)
    ]
    columns = make_geometry_columns(geometries, num_conformers)
    assert columns["atomic_numbers"].to_pylist() == [[atoms] * atoms for atoms, _ in sizes]
    assert columns["n_conformers"].to_pylist() == [count for _, count in sizes]
    for place, geometry in enumerate(geometries):
        kept = [columns["positions"][place].as_py(), *columns["further_positions"][place].as_py()]
        assert kept == geometry.positions.tolist()[:num_conformers]


# ----------------------------------------------------------------------------------------------------------------- rows


def test_the_schemas_have_all_columns_of_the_dataset():
    from_the_join = {"match_level", "benchmarks", "split", "split_group"}
    published = FEATURES.arrow_schema
    assert set(published.names) - set(TEXT_SCHEMA.names) - set(GEOMETRY_SCHEMA.names) == from_the_join
    assert set(GEOMETRY_COLUMNS) < set(GEOMETRY_SCHEMA.names)
    for schema in (TEXT_SCHEMA, GEOMETRY_SCHEMA):
        for field in schema:
            assert field.name not in published.names or field.type == published.field(field.name).type, field


def test_every_field_of_a_text_and_its_compound_has_its_column():
    text = Text(
        "record 7",
        "It is a liquid.",
        "DrugBank",
        compound=ETHANOL,
        name="Ethyl alcohol",
        raw="It  is a liquid.",
        kind="drug",
        source_id="DB00898",
        url="https://example.org/7",
        license_url="https://example.org/licence",
        anid=12,
        is_composed=True,
    )
    row = make_text_row("table", text)
    assert row.keys() == set(TEXT_SCHEMA.names)
    assert pa.Table.from_pylist([row], TEXT_SCHEMA).to_pylist() == [
        {
            "source": "table",
            "record_id": "record 7",
            "inchikey": "LFQSCWFLJHTTHZ-UHFFFAOYSA-N",
            "inchikey14": "LFQSCWFLJHTTHZ",
            "inchi": "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
            "smiles": "CCO",
            "n_heavy": 3,
            "formal_charge": 0,
            "cid": 702,
            "title": "Ethanol",
            "synonyms": ["ethyl alcohol", "alcohol"],
            "name": "Ethyl alcohol",
            "text": "It is a liquid.",
            "text_raw": "It  is a liquid.",
            "text_kind": "drug",
            "text_source": "DrugBank",
            "text_source_id": "DB00898",
            "text_url": "https://example.org/7",
            "text_license_url": "https://example.org/licence",
            "anid": 12,
            "is_composed": True,
        }
    ]


def test_a_text_that_is_still_to_be_identified_has_its_cid_and_no_identity():
    (row,) = pa.Table.from_pylist(
        [make_text_row("table", Text("7", "A liquid.", "DrugBank", cid=702))], TEXT_SCHEMA
    ).to_pylist()
    assert row["cid"] == 702
    identity = set(make_compound_row(ETHANOL)) - {"cid"}
    assert {row[name] for name in identity} == {None}


def test_the_raw_text_is_the_text_unless_the_source_gives_another():
    assert make_text_row("table", Text("7", "A liquid.", "DrugBank", cid=702))["text_raw"] == "A liquid."
    assert make_text_row("table", Text("7", "A liquid.", "DrugBank", cid=702, raw=""))["text_raw"] == ""


def test_the_columns_of_the_identity_are_the_fields_of_a_compound_and_the_first_block():
    row = make_compound_row(ETHANOL)
    assert row.keys() == {field.name for field in fields(Compound)} | {"inchikey14"}
    assert row.keys() < set(TEXT_SCHEMA.names)
    assert (row["inchikey14"], row["synonyms"]) == ("LFQSCWFLJHTTHZ", ["ethyl alcohol", "alcohol"])
