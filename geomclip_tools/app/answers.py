"""The answers of the page: everything that it asks for, as JSON. Nothing here knows of a browser or a network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from modeling_geomclip import MoleculeError, read_molecule
from modeling_geomclip.explanation_geomclip import explain_records

from ..drawing import draw_explanation, draw_molecule
from ..library import MoleculeIndex
from ..library.descriptors import COMPUTE
from ..library.formats import format_rows
from ..library.processes import ProcessEnded, Processes
from .projection import CHUNK, project
from .queries import Query, QueryError, read_query

MOST_ATOMS = 256  # of a molecule that a user gives
MOST_EXPLAINED = 24  # molecules of one request
MOST_POINTS = 100_000  # of the map
LONGEST_LIST = 20  # names, sources and texts of a molecule that are shown
DRAWING, LARGE_DRAWING = (260, 190), (460, 340)  # pixels
FORMATS = ("csv", "sdf")
SHOWN = ("score", "percentile", "inchikey", "smiles", "formula", "mol_weight")


class Answers:
    """The answers for an index.

    Molecules of users are read in worker processes with a budget, since RDKit can need hours for one.

    Args:
        index: the index.
        processes: where molecules are read.
        caption: returns an iterator over the growing caption of a molecule; None if there is no captioner.
    """

    def __init__(self, index: MoleculeIndex, processes: Processes, caption: Any = None):
        self._index, self._processes, self._caption = index, processes, caption
        self._mapping = Lock()

    def describe(self) -> dict[str, Any]:
        """Return what the page says about the index."""
        info = self._index.info()
        return {
            "molecules": info["molecules"],
            "texts": info["texts"],
            "model": Path(info["model"]).name,
            "captions": self._caption is not None,
        }

    # ---------------------------------------------------------------------------------------------------------- search

    def search(self, given: Any) -> dict[str, Any]:
        """Return `results`, the molecules nearest to a query, best first.

        Args:
            given: a query, see `Query`.
        Raises:
            QueryError: the query is not valid; the message is for its author.
        """
        query = read_query(given)
        return {"results": [_show(row) for row in self._find(query)]}

    def export(self, given: Any, kind: str) -> str:
        """Return the results of a query as the text of a file, one of `FORMATS`.

        Raises:
            QueryError: as for `search`, or the format is unknown.
        """
        if kind not in FORMATS:
            raise QueryError(f"the format must be one of {', '.join(FORMATS)}")
        return format_rows([_hide_folders(row) for row in self._find(read_query(given))], kind)

    def _find(self, query: Query) -> list[dict[str, Any]]:
        found = self._index.search(
            query.text or None, self._read(query), query.weight, query.top, query.where, query.substructure or None
        )
        return list(found)

    def _read(self, query: Query) -> dict[str, Any] | None:
        """Return the geometry of the query's molecule."""
        if query.similar:
            return _take_geometry(self._get([query.similar])[0])
        if not query.molecule:
            return None
        extractor = self._index.encoder.processor.feature_extractor
        settings = (extractor.conformer_seed, extractor.remove_hydrogens, min(MOST_ATOMS, extractor.max_atoms))
        try:
            return self._processes.submit(read_molecule, query.molecule, *settings).result()
        except MoleculeError as error:
            raise QueryError(f"the molecule cannot be used: {error.rule}") from error
        except ProcessEnded as error:
            raise QueryError(f"the molecule cannot be used: {error}") from error

    def _get(self, inchikeys: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of some molecules."""
        try:
            return list(self._index.get(inchikeys))
        except KeyError as error:
            raise QueryError("this molecule is no longer in the index; search again") from error

    # ------------------------------------------------------------------------------------------------------- molecules

    def explain(self, inchikeys: Sequence[str], text: str) -> list[dict[str, Any]]:
        """Return why each of some molecules matches a text: `inchikey`, `drawing` (SVG), and `words` with their shares.

        Raises:
            QueryError: the text is empty or too long, or a molecule is not in the index.
        """
        query = read_query({"text": text})
        return self._explain(self._get(list(inchikeys)[:MOST_EXPLAINED]), query.text, DRAWING)

    def _explain(self, rows: Sequence[Mapping[str, Any]], text: str, size: tuple[int, int]) -> list[dict[str, Any]]:
        encoder, found = self._index.encoder, []
        explanations = explain_records(encoder.model, encoder.processor, [*map(_take_geometry, rows)], text)
        for row, explanation in zip(rows, explanations):
            try:
                drawing = draw_explanation(explanation, row["smiles"], size)
            except ValueError:  # the geometry does not show the bonds of its SMILES
                drawing = draw_molecule(row["smiles"], size)
            words = [*zip(explanation.words, explanation.word_contributions.round(4).tolist())]
            found.append({"inchikey": row["inchikey"], "drawing": drawing, "words": words})
        return found

    def show(self, inchikey: str, text: str = "") -> dict[str, Any]:
        """Return all about a molecule: names, descriptors, its record in SDF with the geometry, texts, an explanation.

        Raises:
            QueryError: the molecule is not in the index, or the text is too long.
        """
        (row,) = self._get([inchikey])
        query = read_query({"text": text}) if text.strip() else None
        texts = self._index.find_texts(_take_geometry(row), LONGEST_LIST // 4)
        return {
            **{name: row[name] for name in ("inchikey", "smiles", "text")},
            "name": _name(row),
            "names": row["names"][:LONGEST_LIST],
            "sources": _hide_folders(row)["sources"][:LONGEST_LIST],
            "descriptors": {name: row[name] for name in COMPUTE},
            "columns": json.loads(row["columns"]),
            "record": format_rows([_hide_folders(row)], "sdf"),
            "texts": [{"score": hit["score"], "text": hit["text"], "name": _name(hit)} for hit in texts],
            "explanation": None if query is None else self._explain([row], query.text, LARGE_DRAWING)[0],
            "drawing": draw_molecule(row["smiles"], LARGE_DRAWING),
        }

    def caption(self, inchikey: str) -> Iterator[str]:
        """Yield the growing caption of a molecule.

        Raises:
            QueryError: there is no captioner, or the molecule is not in the index.
        """
        if self._caption is None:
            raise QueryError("no captioner is loaded; start geomclip app with --captioner")
        yield from self._caption(self._get([inchikey])[0])

    # ------------------------------------------------------------------------------------------------------------- map

    @property
    def _points(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        with self._mapping:  # who comes second waits for the map of the first
            return self._map

    @cached_property
    def _map(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """InChIKeys, embeddings (molecules, size) float16 and places (molecules, 2) float32."""
        keys, vectors = self._index.read_vectors(MOST_POINTS)
        return keys, vectors, project(vectors.astype(np.float32))

    def draw_map(self) -> dict[str, Any]:
        """Return `x` and `y` of the molecules on the map, integers from 0 to 10,000, in a fixed order."""
        positions = self._points[2]
        low, high = positions.min(axis=0, initial=np.inf), positions.max(axis=0, initial=-np.inf)
        scaled = np.rint(10_000 * (positions - low) / np.maximum(high - low, 1e-9)).astype(int)
        return {"x": scaled[:, 0].tolist(), "y": scaled[:, 1].tolist()}

    def colour_map(self, text: str) -> list[int]:
        """Return the similarity of each molecule on the map with a text, from 0 for the lowest to 255.

        Raises:
            QueryError: the text is empty or too long.
        """
        embed = self._index.encoder.embed_texts([read_query({"text": text}).text])[0]
        parts = np.array_split(self._points[1], 1 + len(self._points[0]) // CHUNK)
        scores = np.concatenate([vectors.astype(np.float32) @ embed for vectors in parts])
        low, high = scores.min(initial=1), scores.max(initial=-1)
        return np.rint(255 * (scores - low) / max(high - low, 1e-9)).astype(int).tolist()

    def point_at(self, place: int) -> dict[str, Any]:
        """Return a molecule on the map by its place: `inchikey`, `name`, `smiles` and `drawing`.

        Raises:
            QueryError: there is no such place.
        """
        keys = self._points[0]
        if not 0 <= place < len(keys):
            raise QueryError("there is no such molecule on the map")
        (row,) = self._get([keys[place]])
        return {name: cell for name, cell in _show(row).items() if name in ("inchikey", "name", "smiles", "drawing")}


def _show(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says about a molecule."""
    cells = {name: row[name] for name in SHOWN if name in row}
    return {**cells, "name": _name(row), "drawing": draw_molecule(row["smiles"], DRAWING)}


def _name(row: Mapping[str, Any]) -> str:
    return row["names"][0] if row["names"] else row["inchikey"]


def _take_geometry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(row[name]) for name in ("atomic_numbers", "positions")}


def _hide_folders(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the names of the files that it came from, but without their folders."""
    return {**row, "sources": [Path(source).name for source in row["sources"]]}
