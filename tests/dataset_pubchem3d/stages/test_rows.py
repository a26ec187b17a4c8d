from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.records import Compound, Text, make_text_row
from dataset_pubchem3d.stages.join import ROW_SCHEMA
from dataset_pubchem3d.stages.rows import GROUPED_SCHEMA, clean_rows, deduplicate_rows, group_rows
from dataset_pubchem3d.stages.stage import Part

CC_BY, NOT_KNOWN = "https://creativecommons.org/licenses/by/4.0/", "https://example.org/terms"
EXAMPLAMINE = Compound.from_smiles("CCN", "", title="Examplamine", synonyms=("exampline", "EX-1"))
TOLUENE, PHENOL = Compound.from_smiles("Cc1ccccc1", ""), Compound.from_smiles("Oc1ccccc1", "")
L_ALANINE, ALANINE = Compound.from_smiles("C[C@H](N)C(=O)O", ""), Compound.from_smiles("CC(N)C(=O)O", "")


def joined(record_id: str, text: str, compound: Compound = EXAMPLAMINE, source: str = "texts", **fields) -> dict:
    """A row of the join."""
    described = Text(record_id, text, fields.pop("text_source", "an invented database"), compound=compound, **fields)
    return {**make_text_row(source, described), "match_level": "inchikey", "geometry_row": int(record_id)}


def written(folder: Path, rows: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, ROW_SCHEMA), folder / "part.parquet")
    return folder / "part.parquet"


@pytest.fixture
def clean(tmp_path):
    """Clean rows; by default, all rows are kept and names are replaced."""

    def clean(rows: list[dict], min_words: int = 1, permissive_only: bool = False, replace_names: bool = True) -> Part:
        return clean_rows(min_words, permissive_only, replace_names, written(tmp_path, rows))

    return clean


def column(part: Part, name: str) -> list:
    return part.table.column(name).to_pylist()


# ------------------------------------------------------------------------------------------------------------- cleaning


@pytest.mark.parametrize("name", ["Examplamine", "exampline", "Alias"])
def test_the_name_title_and_synonyms_are_replaced_as_the_subject(clean, name):
    part = clean([joined("0", f"{name} is a liquid.\n{name} boils.", name="alias")])
    assert column(part, "text") == ["The molecule is a liquid. The molecule boils."]


def test_names_stay_if_asked(clean):
    part = clean([joined("0", "Examplamine  is\na liquid.")], replace_names=False)
    assert column(part, "text") == ["Examplamine is a liquid."]


def test_composed_texts_keep_their_names(clean):
    part = clean([joined("0", "Examplamine is also called exampline.", is_composed=True)])
    assert column(part, "text") == ["Examplamine is also called exampline."]


def test_a_row_without_names_is_cleaned(clean):
    row = joined("0", "Examplamine is a liquid.") | {"title": None, "synonyms": None}
    part = clean([row])
    assert (column(part, "text"), column(part, "name")) == (["Examplamine is a liquid."], [None])


@pytest.mark.parametrize(
    ("name", "compound", "expected"),
    [("alias", EXAMPLAMINE, "alias"), (None, EXAMPLAMINE, "Examplamine"), (None, TOLUENE, None), ("", TOLUENE, None)],
)
def test_the_name_of_a_row_comes_from_its_text_or_else_the_title(clean, name, compound, expected):
    assert column(clean([joined("0", "It is a liquid.", compound, name=name)]), "name") == [expected]


@pytest.mark.parametrize(
    ("kind", "text_source", "expected"),
    [("mine", "DrugBank", "mine"), (None, "DrugBank", "drug"), (None, "an invented database", "other")],
)
def test_the_kind_is_stated_by_the_source_or_else_derived_from_its_name(clean, kind, text_source, expected):
    part = clean([joined("0", "It is a liquid.", kind=kind, text_source=text_source)])
    assert column(part, "text_kind") == [expected]


def test_other_columns_of_a_row_are_unchanged(clean):
    row = joined("0", "Examplamine is  a liquid.", name="alias", source_id="7", url="u", license_url=CC_BY, anid=3)
    part = clean([row])
    assert part.table.schema == ROW_SCHEMA
    assert part.table.to_pylist() == [row | {"text": "The molecule is a liquid.", "text_kind": "other"}]
    assert column(part, "text_raw") == ["Examplamine is  a liquid."]


@pytest.mark.parametrize(("min_words", "kept"), [(1, ["0", "1", "2"]), (4, ["0", "1", "2"]), (5, ["2"]), (6, [])])
def test_texts_with_too_few_words_are_refused(clean, min_words, kept):
    rows = [
        joined("0", "Examplamine is liquid."),  # "The molecule is liquid." has four words
        joined("1", "It is a liquid.", TOLUENE),
        joined("2", "It is a clear liquid.", TOLUENE),
    ]
    part = clean(rows, min_words)
    assert column(part, "record_id") == kept
    assert [record["id"] for record in part.refused] == [id for id in "012" if id not in kept]
    assert {record["reason"] for record in part.refused} <= {"the text has fewer than min_words words"}
    assert part.counts == {"rows read": 3, "rows": len(kept)}


def test_a_text_without_letters_is_refused(clean):
    part = clean([joined("0", "42."), joined("1", "It is a liquid.")])
    assert column(part, "record_id") == ["1"]
    reason = "the text has no letter"
    assert part.refused == [{"source": "texts", "id": "0", "reason": reason, "detail": "42."}]


@pytest.mark.parametrize(("permissive_only", "kept"), [(False, ["0", "1", "2"]), (True, ["0"])])
def test_texts_under_other_or_unknown_licences_are_refused_if_asked(clean, permissive_only, kept):
    licenses = (CC_BY, NOT_KNOWN, None)
    rows = [joined(str(place), "It is a liquid.", license_url=url) for place, url in enumerate(licenses)]
    part = clean(rows, permissive_only=permissive_only)
    assert column(part, "record_id") == kept
    reason = "the licence of its text is not known to be permissive"
    refused = [
        {"source": "texts", "id": "1", "reason": reason, "detail": NOT_KNOWN},
        {"source": "texts", "id": "2", "reason": reason, "detail": ""},
    ]
    assert part.refused == (refused if permissive_only else [])
    assert part.counts == {"rows read": 3, "rows": len(kept)}


# ------------------------------------------------------------------------------------------------------- deduplication


def test_of_equal_texts_of_one_molecule_the_first_stays_and_is_named(tmp_path):
    rows = [
        joined("0", "It is a liquid.", TOLUENE, "first"),
        joined("1", "It is a liquid.", PHENOL, "second"),
        joined("2", "It is a liquid.", TOLUENE, "second"),
        joined("3", "It burns.", TOLUENE, "second"),
        joined("4", "It is a liquid.", TOLUENE, "third"),
    ]
    part = deduplicate_rows(written(tmp_path, rows))
    reason = "same molecule and text as another record"
    assert part.refused == [
        {"source": "second", "id": "2", "reason": reason, "detail": "first 0"},
        {"source": "third", "id": "4", "reason": reason, "detail": "first 0"},
    ]
    assert part.counts == {"rows read": 5, "rows": 3}
    assert PHENOL.inchikey < TOLUENE.inchikey
    assert part.table == pa.Table.from_pylist([rows[1], rows[0], rows[3]], ROW_SCHEMA)


def test_stereoisomers_with_one_text_are_two_molecules(tmp_path):
    rows = [joined("0", "It is sweet.", L_ALANINE), joined("1", "It is sweet.", ALANINE)]
    part = deduplicate_rows(written(tmp_path, rows))
    assert L_ALANINE.inchikey[:14] == ALANINE.inchikey[:14]
    assert (sorted(column(part, "record_id")), part.refused) == (["0", "1"], [])


def test_an_empty_part_stays_empty(tmp_path, clean):
    assert clean([]).table == ROW_SCHEMA.empty_table()
    assert deduplicate_rows(written(tmp_path, [])).table == ROW_SCHEMA.empty_table()
    assert group_rows("scaffold", written(tmp_path, [])).table == GROUPED_SCHEMA.empty_table()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([TOLUENE, PHENOL, ALANINE, L_ALANINE]), st.sampled_from("abc")), max_size=12))
def test_kept_rows_are_sorted_by_inchikey_and_the_first_of_their_kind(pairs):
    rows = [joined(str(place), text, compound) for place, (compound, text) in enumerate(pairs)]
    with TemporaryDirectory() as folder:
        part = deduplicate_rows(written(Path(folder), rows))
    first = [place for place, pair in enumerate(pairs) if pair not in pairs[:place]]
    first.sort(key=lambda place: (pairs[place][0].inchikey, place))
    assert column(part, "record_id") == [str(place) for place in first]
    again = [str(place) for place, pair in enumerate(pairs) if pair in pairs[:place]]
    assert sorted(record["id"] for record in part.refused) == sorted(again)
    assert part.counts["rows read"] == len(rows) == part.counts["rows"] + len(part.refused)


# --------------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("split_by", "groups"),
    [
        ("first_block", [PHENOL.inchikey[:14], "QNAYBMKLOCPYGJ", "QNAYBMKLOCPYGJ", TOLUENE.inchikey[:14]]),
        ("scaffold", ["c1ccccc1", "QNAYBMKLOCPYGJ", "QNAYBMKLOCPYGJ", "c1ccccc1"]),
    ],
)
def test_rows_are_grouped_by_first_block_or_scaffold_and_otherwise_unchanged(tmp_path, split_by, groups):
    compounds = (PHENOL, L_ALANINE, ALANINE, TOLUENE)
    rows = [joined(str(place), "It is sweet.", compound) for place, compound in enumerate(compounds)]
    part = group_rows(split_by, written(tmp_path, rows))
    assert part.table.schema == GROUPED_SCHEMA
    assert column(part, "split_group") == groups
    assert part.table.drop_columns("split_group") == pa.Table.from_pylist(rows, ROW_SCHEMA)
    assert part.refused == []
