"""Join texts with geometries: choose the best match among all geometries that could belong to a text."""

from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import pyarrow as pa
from rdkit import Chem

from ..chemistry.elements import count_heavy_elements
from ..records import GEOMETRY_SCHEMA, TEXT_SCHEMA, RecordError
from .stage import Part
from .windows import read_window

MATCH_LEVELS = ("inchikey", "cid", "first_block")  # the strictest first
ROW_SCHEMA = TEXT_SCHEMA.append(pa.field("match_level", pa.string())).append(pa.field("geometry_row", pa.int32()))
JOIN_COLUMNS = ["inchikey14", "inchikey", "cid", "geometry_source", "geometry_id", "conformer_energy", "atomic_numbers"]


def join_window(texts: Path, geometries: Path, sources: tuple[str, ...], loosest: str, index: int) -> Part:
    """Join the texts and geometries of one window.

    A text is matched by full InChIKey, else by CID, else by the first block of the InChIKey, down to `loosest`. Among
    equally good matches, the geometry of the text's own record is preferred, then the first of `sources`, then the
    lowest energy, then the first geometry. A geometry with other heavy atoms than the text's molecule is passed over.

    Args:
        texts, geometries: folders of windows.
        sources: names of the geometry sources, in order of preference.
        loosest: last of `MATCH_LEVELS` that counts as a match.
        index: index of the window.
    Returns:
        One row for each text that has a geometry; `geometry_row` is the row of the geometry in its window.
    """
    part, rows = Part(ROW_SCHEMA.empty_table()), []
    candidates = defaultdict(list)
    for place, geometry in enumerate(read_window(geometries, index, GEOMETRY_SCHEMA).select(JOIN_COLUMNS).to_pylist()):
        candidates[geometry["inchikey14"]].append((place, geometry))
    for text in read_window(texts, index, TEXT_SCHEMA).to_pylist():
        part.counts["texts"] += 1
        found = candidates[text["inchikey14"]]
        if not found:
            part.refuse(
                text["source"], RecordError(text["record_id"], "no source has a geometry for it", text["inchikey"])
            )
            continue
        ranked = sorted(found, key=lambda candidate: _rank_candidate(text, *candidate, sources))
        is_fitting = partial(has_heavy_atoms, text["smiles"])
        place, geometry = next((one for one in ranked if is_fitting(one[1]["atomic_numbers"])), (None, ranked[0][1]))
        if place is None:
            detail = f"{geometry['geometry_source']} {geometry['geometry_id']}"
            part.refuse(text["source"], RecordError(text["record_id"], "its geometry has other elements", detail))
            continue
        level = find_match_level(text, geometry)
        if MATCH_LEVELS.index(level) > MATCH_LEVELS.index(loosest):
            reason = f"its geometry matches by {level} only, and the recipe asks for {loosest}"
            part.refuse(text["source"], RecordError(text["record_id"], reason, text["inchikey"]))
            continue
        rows.append({**text, "match_level": level, "geometry_row": place})
    part.counts["rows"] += len(rows)
    part.table = pa.Table.from_pylist(rows, ROW_SCHEMA)
    return part


def find_match_level(text: dict, geometry: dict) -> str:
    """Return the strictest of `MATCH_LEVELS` at which a text and a geometry with the same first block match."""
    if text["inchikey"] == geometry["inchikey"]:
        return "inchikey"
    is_same_cid = text["cid"] is not None and text["cid"] == geometry["cid"]
    return "cid" if is_same_cid else "first_block"


def has_heavy_atoms(smiles: str, atomic_numbers: list[int]) -> bool:
    """Return whether a geometry has the same heavy atoms as a SMILES, element by element."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    return mol is not None and count_heavy_elements(mol) == Counter(number for number in atomic_numbers if number > 1)


def _rank_candidate(text: dict, place: int, geometry: dict, sources: tuple[str, ...]) -> tuple:
    is_own_record = (text["source"], text["record_id"]) == (geometry["geometry_source"], geometry["geometry_id"])
    energy = geometry["conformer_energy"]
    return (
        MATCH_LEVELS.index(find_match_level(text, geometry)),
        not is_own_record,
        sources.index(geometry["geometry_source"]),
        float("inf") if energy is None else energy,
        place,
    )
