from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.records import GEOMETRY_SCHEMA, TEXT_SCHEMA, Compound
from dataset_pubchem3d.stages.join import MATCH_LEVELS, ROW_SCHEMA, find_match_level, join_window
from dataset_pubchem3d.stages.stage import Part
from dataset_pubchem3d.stages.windows import write_windows

SOURCES = ("pcqm4mv2", "qm9", "rdkit")  # in order of preference
ACETIC_ACID, ACETATE = Compound.from_smiles("CC(=O)O", ""), Compound.from_smiles("CC(=O)[O-]", "")
SODIUM_ACETATE = Compound.from_smiles("CC(=O)[O-].[Na+]", "")
ALANINE = Compound.from_smiles("CC(N)C(=O)O", "")
L_ALANINE, D_ALANINE = Compound.from_smiles("C[C@H](N)C(=O)O", ""), Compound.from_smiles("C[C@@H](N)C(=O)O", "")


def text(compound: Compound, cid: int | None = None, record_id: str = "text", source: str = "texts") -> dict:
    return text_of(compound.inchikey, cid, record_id, source, compound.smiles)


def text_of(inchikey: str, cid: int | None, record_id: str, source: str = "texts", smiles: str = "CC(=O)O") -> dict:
    block = inchikey[:14]
    return {
        "source": source,
        "record_id": record_id,
        "inchikey": inchikey,
        "inchikey14": block,
        "smiles": smiles,
        "cid": cid,
        "text": "A.",
    }


def geometry(
    compound: Compound,
    cid: int | None = None,
    source: str = "qm9",
    energy: float | None = None,
    geometry_id: str = "0",
    inchikey: str | None = "",
) -> dict:
    """A geometry wanted for a compound; its own InChIKey may be missing (None) or partial."""
    return {
        "inchikey14": compound.inchikey[:14],
        "inchikey": compound.inchikey if inchikey == "" else inchikey,
        "cid": cid,
        "geometry_source": source,
        "geometry_id": geometry_id,
        "conformer_energy": energy,
        "atomic_numbers": list_elements(compound.smiles),
    }


def list_elements(smiles: str) -> list[int]:
    return [atom.GetAtomicNum() for atom in Chem.AddHs(Chem.MolFromSmiles(smiles)).GetAtoms()]


def join(texts: list[dict], geometries: list[dict], loosest: str = "first_block", sources=SOURCES) -> Part:
    with TemporaryDirectory() as folder:
        for name, rows, schema in (("texts", texts, TEXT_SCHEMA), ("geometries", geometries, GEOMETRY_SCHEMA)):
            (Path(folder) / name).mkdir()
            tables = [pa.Table.from_pylist([row], schema) for row in rows]
            write_windows(tables, "inchikey14", np.empty(0, "S14"), Path(folder) / name)
        return join_window(Path(folder) / "texts", Path(folder) / "geometries", sources, loosest, 0)


def matches(texts: list[dict], geometries: list[dict], **settings) -> list[tuple[str, int]]:
    rows = join(texts, geometries, **settings).table.to_pylist()
    return [(row["match_level"], row["geometry_row"]) for row in rows]


# --------------------------------------------------------------------------------------------------------------- levels


def test_the_full_inchikey_outranks_cid_and_first_block():
    assert L_ALANINE.inchikey[:14] == D_ALANINE.inchikey[:14] == ALANINE.inchikey[:14]
    geometries = [geometry(D_ALANINE, cid=1), geometry(ALANINE), geometry(L_ALANINE, cid=2)]
    assert matches([text(L_ALANINE, cid=1)], geometries) == [("inchikey", 2)]


def test_without_the_full_inchikey_the_cid_outranks_the_first_block():
    geometries = [geometry(D_ALANINE), geometry(ALANINE, cid=5950), geometry(ALANINE, cid=6)]
    assert matches([text(L_ALANINE, cid=5950)], geometries) == [("cid", 1)]


@pytest.mark.parametrize("inchikey", [None, ALANINE.inchikey[:14]])
def test_a_geometry_with_a_cid_and_no_full_inchikey_matches_by_its_cid(inchikey):
    assert matches([text(ALANINE, cid=602)], [geometry(ALANINE, cid=602, inchikey=inchikey)]) == [("cid", 0)]


@pytest.mark.parametrize("inchikey", [None, ALANINE.inchikey[:14]])
def test_a_geometry_with_neither_matches_by_its_first_block(inchikey):
    assert matches([text(ALANINE)], [geometry(ALANINE, inchikey=inchikey)]) == [("first_block", 0)]


def test_a_text_without_stereo_gets_a_geometry_with_stereo():
    assert matches([text(ALANINE)], [geometry(L_ALANINE)]) == [("first_block", 0)]


def test_missing_cids_are_not_equal():
    assert find_match_level(text(ALANINE), geometry(L_ALANINE)) == "first_block"
    assert find_match_level(text(ALANINE, cid=602), geometry(L_ALANINE)) == "first_block"
    assert find_match_level(text(ALANINE), geometry(L_ALANINE, cid=602)) == "first_block"


def test_an_ion_gets_the_geometry_of_its_acid_by_the_first_block():
    assert ACETATE.inchikey != ACETIC_ACID.inchikey
    assert matches([text(ACETATE)], [geometry(ACETIC_ACID)]) == [("first_block", 0)]


def test_a_salt_does_not_get_the_geometry_of_its_acid():
    part = join([text(SODIUM_ACETATE, cid=517045)], [geometry(ACETIC_ACID, cid=176)])
    assert part.table == ROW_SCHEMA.empty_table()
    assert part.refused == [
        {
            "source": "texts",
            "id": "text",
            "reason": "no source has a geometry for it",
            "detail": SODIUM_ACETATE.inchikey,
        }
    ]


def test_texts_of_several_cids_with_one_inchikey_get_the_same_geometry():
    texts = [text(ALANINE, cid=602), text(ALANINE, cid=603), text(ALANINE)]
    geometries = [geometry(L_ALANINE, cid=602), geometry(ALANINE, cid=603)]
    assert matches(texts, geometries) == [("inchikey", 1)] * 3


@pytest.mark.parametrize(
    ("loosest", "kept"),
    [("inchikey", ["inchikey"]), ("cid", ["inchikey", "cid"]), ("first_block", ["inchikey", "cid", "first_block"])],
)
def test_matches_looser_than_the_recipe_allows_are_refused(loosest, kept):
    texts = [text(ALANINE, record_id="inchikey"), text(D_ALANINE, 7, "cid"), text(D_ALANINE, record_id="first_block")]
    part = join(texts, [geometry(ALANINE, cid=7)], loosest)
    assert [(row["record_id"], row["match_level"]) for row in part.table.to_pylist()] == [(id, id) for id in kept]
    assert [record["id"] for record in part.refused] == [level for level in MATCH_LEVELS if level not in kept]
    for record in part.refused:
        assert record["reason"] == f"its geometry matches by {record['id']} only, and the recipe asks for {loosest}"
        assert (record["source"], record["detail"]) == ("texts", D_ALANINE.inchikey)
    assert part.counts == {"texts": 3, "rows": len(kept)}


# ---------------------------------------------------------------------------------------------------------- preferences


def test_a_text_prefers_the_geometry_of_its_own_record():
    own = geometry(ALANINE, source="rdkit", energy=9.0, geometry_id="row 3")
    others = [geometry(ALANINE, source="pcqm4mv2", geometry_id="row 3"), geometry(ALANINE, source="rdkit", energy=1.0)]
    assert matches([text(ALANINE, record_id="row 3", source="rdkit")], [*others, own]) == [("inchikey", 2)]


def test_a_stricter_match_outranks_its_own_record():
    own = geometry(L_ALANINE, source="rdkit", geometry_id="row 3")
    assert matches([text(ALANINE, record_id="row 3", source="rdkit")], [own, geometry(ALANINE)]) == [("inchikey", 1)]


@pytest.mark.parametrize(("sources", "place"), [(SOURCES, 1), (("qm9", "rdkit", "pcqm4mv2"), 2)])
def test_the_preferred_source_outranks_a_lower_energy(sources, place):
    geometries = [geometry(ALANINE, source=source, energy=energy) for energy, source in enumerate(reversed(SOURCES))]
    geometries = [geometries[0], geometries[2], geometries[1]]  # rdkit, pcqm4mv2, qm9
    assert matches([text(ALANINE)], geometries, sources=sources) == [("inchikey", place)]


def test_a_stricter_match_outranks_the_preferred_source():
    geometries = [geometry(L_ALANINE, source="pcqm4mv2"), geometry(ALANINE, source="rdkit")]
    assert matches([text(ALANINE)], geometries) == [("inchikey", 1)]


@pytest.mark.parametrize(
    ("energies", "place"),
    [
        ([3.0, -1.0, 2.0], 1),
        ([3.0, 2.0, 2.0], 1),
        ([None, 5.0], 1),
        ([None, None], 0),
        ([0.0, 0.0, -0.0], 0),
    ],
)
def test_the_lowest_energy_of_a_source_is_used_or_the_first_of_equal_ones(energies, place):
    assert matches([text(ALANINE)], [geometry(ALANINE, energy=energy) for energy in energies]) == [("inchikey", place)]


# ---------------------------------------------------------------------------------------------------------------- whole


def test_a_row_has_its_text_and_the_place_of_its_geometry():
    whole = text(ALANINE, cid=602) | {"name": "alanine", "synonyms": ["Ala"], "is_composed": False, "n_heavy": 6}
    part = join([whole], [geometry(L_ALANINE), geometry(ALANINE)])
    assert part.table.schema == ROW_SCHEMA
    (row,) = part.table.to_pylist()
    (read,) = pa.Table.from_pylist([whole], TEXT_SCHEMA).to_pylist()
    assert row == read | {"match_level": "inchikey", "geometry_row": 1}


@pytest.mark.parametrize("geometries", [[], [geometry(ALANINE)]])
def test_a_window_without_texts_gives_an_empty_table(geometries):
    part = join([], geometries)
    assert (part.table, part.refused) == (ROW_SCHEMA.empty_table(), [])


KEYS = st.sampled_from(["A" * 14 + "-X", "A" * 14 + "-Y", "B" * 14 + "-X", "C" * 14 + "-X"])
CIDS = st.integers(1, 3) | st.none()
TEXTS = st.builds(text_of, KEYS, CIDS, st.sampled_from("012"), st.sampled_from(["texts", "qm9", "rdkit"]))


@st.composite
def random_geometries(draw) -> dict:
    key = draw(KEYS)
    return {
        "inchikey14": key[:14],
        "inchikey": draw(st.sampled_from([key, key[:14], None])),
        "cid": draw(CIDS),
        "geometry_source": draw(st.sampled_from(SOURCES)),
        "geometry_id": draw(st.sampled_from("012")),
        "atomic_numbers": list_elements("CC(=O)O"),
        "conformer_energy": draw(st.sampled_from([None, -1.0, 0.0, 1.0])),
    }


def best_by_elimination(text: dict, geometries: list[dict], sources: tuple) -> tuple[str, int] | None:
    """Each rule in turn eliminates candidates, unless it would eliminate all of them."""
    left = [i for i, geometry in enumerate(geometries) if geometry["inchikey14"] == text["inchikey14"]]
    if not left:
        return None
    level = "first_block"
    same_cid = [i for i in left if text["cid"] and geometries[i]["cid"] == text["cid"]]
    same_key = [i for i in left if geometries[i]["inchikey"] == text["inchikey"]]
    if same_key:
        level, left = "inchikey", same_key
    elif same_cid:
        level, left = "cid", same_cid
    own = [
        i
        for i in left
        if geometries[i]["geometry_source"] == text["source"] and geometries[i]["geometry_id"] == text["record_id"]
    ]
    left = own or left
    for source in sources:
        if of_source := [i for i in left if geometries[i]["geometry_source"] == source]:
            left = of_source
            break
    known = [i for i in left if geometries[i]["conformer_energy"] is not None]
    if known:
        lowest = min(geometries[i]["conformer_energy"] for i in known)
        left = [i for i in known if geometries[i]["conformer_energy"] == lowest]
    return level, left[0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(TEXTS, max_size=5),
    st.lists(random_geometries(), max_size=8),
    st.sampled_from(MATCH_LEVELS),
    st.permutations(SOURCES),
)
def test_every_text_gets_the_geometry_that_elimination_leaves_or_is_refused(texts, geometries, loosest, sources):
    expected, refused = [], []
    for row in texts:
        found = best_by_elimination(row, geometries, sources)
        too_loose = {"inchikey": ("cid", "first_block"), "cid": ("first_block",), "first_block": ()}[loosest]
        if found is None or found[0] in too_loose:
            refused.append((row["source"], row["record_id"]))
        else:
            expected.append((row["record_id"], *found))
    part = join(texts, geometries, loosest, tuple(sources))
    rows = part.table.select(["record_id", "match_level", "geometry_row"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == expected
    assert [(record["source"], record["id"]) for record in part.refused] == refused
    assert part.counts["texts"] == len(texts) == part.counts["rows"] + len(part.refused)


def test_a_geometry_with_other_heavy_atoms_is_refused_at_any_match_level():
    wrong = geometry(ACETIC_ACID) | {"atomic_numbers": list_elements("CC(=O)S")}
    part = join([text(ACETIC_ACID)], [wrong])
    assert [record["reason"] for record in part.refused] == ["its geometry has other elements"]
    assert part.refused[0]["detail"] == "qm9 0"
    assert matches([text(ACETIC_ACID)], [geometry(ACETIC_ACID) | {"atomic_numbers": [6, 6, 8, 8]}]) == [("inchikey", 0)]


def test_a_sound_geometry_is_used_if_a_better_match_has_other_heavy_atoms():
    wrong = geometry(ACETIC_ACID, source="pcqm4mv2") | {"atomic_numbers": list_elements("CC(=O)S")}
    assert matches([text(ACETIC_ACID)], [wrong, geometry(ACETIC_ACID)]) == [("inchikey", 1)]
    by_cid = geometry(ALANINE, cid=602, inchikey=None) | {"atomic_numbers": list_elements("CC(N)C(=O)S")}
    assert matches([text(ALANINE, cid=602)], [by_cid, geometry(L_ALANINE)]) == [("first_block", 1)]
    part = join([text(ALANINE, cid=602)], [by_cid, geometry(L_ALANINE)], loosest="cid")
    reason = "its geometry matches by first_block only, and the recipe asks for cid"
    assert [record["reason"] for record in part.refused] == [reason]
