"""An index of a library of molecules, which are found by texts and by other molecules."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from tqdm.auto import tqdm

from .adding import Addition
from .encoder import Encoder, load_encoder
from .entries import count_entries, read_entries
from .exporting import export_rows
from .processes import Processes
from .quarantine import Quarantine
from .ray_engine import start_ray
from .rows import HIDDEN, KEY, VECTOR, read_vectors
from .searching import check_query, combine, rank_scores, search_table
from .store import MoleculeStore, list_keys
from .substructures import parse_smarts

ENGINES = ("local", "ray")
BUDGET = 600.0  # processor time of a molecule, seconds; only a quarantine follows from it
Model = str | tuple[Any, Any]


class MoleculeIndex:
    """An index of molecules on disk or in object storage; open one with `open`, make one with `create`.

    ```python
    index = MoleculeIndex.create("my_library", "release/geomclip-mini")
    index.add(["molecules.csv", "vendor.sdf.gz"])
    hits = index.search("a monoterpenoid with a minty odour", where="mol_weight < 300")
    ```
    """

    def __init__(self, store: MoleculeStore, encoder: Encoder | None = None):
        self._store, self._encoder = store, encoder

    @classmethod
    def open(cls, path: str | Path, model: Model | None = None) -> "MoleculeIndex":
        """Open an index.

        Args:
            path: folder, or a URI that LanceDB opens.
            model: model of the index: folder, Hub id, or `GeomCLIPModel` and its processor. If None, the model that
                the index names is loaded when it is needed.
        Raises:
            ValueError: there is no index, or it belongs to another model.
        """
        store = MoleculeStore.open(str(path))
        encoder = None if model is None else Encoder(model)
        if encoder is not None:
            encoder.check(store.metadata)
        return cls(store, encoder)

    @classmethod
    def create(cls, path: str | Path, model: Model) -> "MoleculeIndex":
        """Make an empty index, or open the one that is there.

        Args:
            path, model: as for `open`.
        Raises:
            ValueError: the index that is there belongs to another model.
        """
        encoder = Encoder(model)
        metadata = encoder.describe()
        store = MoleculeStore.create(str(path), metadata["embedding_size"], metadata)
        encoder.check(store.metadata)
        return cls(store, encoder)

    @property
    def encoder(self) -> Encoder:
        """The model of the index."""
        if self._encoder is None:
            self._encoder = load_encoder(self._store.metadata)
        return self._encoder

    def add(
        self,
        libraries: str | Sequence[str],
        encoding: str = "utf-8",
        quarantine: str | Path | None = None,
        num_proc: int | None = None,
        batch_size: int = 1024,
        texts: bool = True,
        engine: str = "local",
    ) -> dict[str, Any]:
        """Add the molecules of libraries; a molecule that is there already gets the new names and sources.

        Each batch is written in one commit. After an interruption, the same call goes on where it ended.

        Args:
            libraries: files (.smi, .csv, .tsv, .parquet, .sdf, also .gz), folders of them, and datasets.
            encoding: encoding of text files.
            quarantine: JSON Lines file for the entries that cannot be used.
            num_proc: number of processes that make conformers with the engine "local"; the number of cores if None,
                this process if 0.
            batch_size: entries per batch.
            texts: whether to keep and embed the texts of the libraries, for `find_texts`.
            engine: one of `ENGINES`: "local" for this machine, or "ray" for a Ray cluster, on whose machines conformers
                are made and molecules embedded.
        Returns:
            numbers of entries: `added` as new molecules, `united` with a molecule, `skipped` because they were there,
            and `refused`; and `reasons`, the numbers of refused entries by reason.
        Raises:
            ValueError: a library cannot be read, or there is no such engine.
            ModuleNotFoundError: Ray is not installed.
            OSError: the index cannot be written.
        """
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; choose one of {', '.join(ENGINES)}")
        libraries = [libraries] if isinstance(libraries, str) else [*libraries]
        num_proc = os.cpu_count() if num_proc is None else num_proc
        total = count_entries(libraries)  # raises before anything is loaded
        with (
            open_engine(engine, self.encoder, num_proc) as (processes, encoder),
            Quarantine(quarantine and Path(quarantine)) as refused,
            tqdm(total=total, desc="entries", unit="entry", smoothing=0.05) as bar,
        ):
            addition = Addition(self._store, encoder, processes, refused, bar, texts)
            addition.run(read_entries(libraries, encoding), batch_size)
        self.optimize()
        return {**addition.counts, "reasons": dict(refused.reasons.most_common())}

    def search(
        self,
        text: str | None = None,
        molecule: Any = None,
        weight: float = 0.5,
        top_k: int = 20,
        where: str | None = None,
        substructure: str | None = None,
        exact: bool = False,
    ) -> Dataset:
        """Find the molecules nearest to a text, a molecule or both.

        Args:
            text: what the molecules should be.
            molecule: a molecule in any form that the processor takes.
            weight: weight of the molecule if both are given, in [0, 1].
            top_k: largest number of molecules.
            where: condition in SQL on the columns, such as "mol_weight < 300 and rings >= 1".
            substructure: SMARTS that the molecules must contain.
            exact: compare all molecules, even if there is an approximate index.
        Returns:
            the columns of the index without vectors, best first, after `score`, the cosine, and `percentile`, the share
            of a fixed random sample of the library that scores no higher for this query.
        Raises:
            ValueError: an argument is not valid.
            MoleculeError: the molecule cannot be used.
        """
        check_query(text, molecule, weight, top_k)
        if substructure is not None:
            parse_smarts(substructure)
        if where:
            self._store.count(where)  # raises before the model is loaded
        embeds = [
            None if text is None else self.encoder.embed_texts([text])[0],
            None if molecule is None else self.encoder.embed_molecule(molecule),
        ]
        return search_table(self._store, combine(*embeds, weight), top_k, where, substructure, exact)

    def rank_texts(self, molecule: Any, texts: Sequence[str]) -> Dataset:
        """Rank texts by how well they fit a molecule.

        Args:
            molecule: a molecule in any form that the processor takes.
            texts: descriptions.
        Returns:
            `row` of the text, `score`, `percentile` of the molecule in the library for this text, and `text`, best
            first.
        """
        vector, embeds = self.encoder.embed_molecule(molecule), self.encoder.embed_texts(texts)
        scores = embeds @ vector
        percentiles = [rank_scores(self._store, text, [score])[0].as_py() for text, score in zip(embeds, scores)]
        order = np.argsort(-scores, kind="stable")
        columns = {"row": order, "score": scores[order], "percentile": np.array(percentiles, np.float32)[order]}
        return Dataset.from_dict({**columns, "text": [texts[place] for place in order]})

    def find_texts(self, molecule: Any, top_k: int = 5) -> Dataset:
        """Find the texts in the index, which came with its molecules, that fit a molecule best.

        Args:
            molecule: a molecule in any form that the processor takes.
            top_k: largest number of texts.
        Returns:
            `score`, the cosine, `text`, and `inchikey` and `names` of the molecule that the text came with, best first.
        """
        return Dataset(self._store.rank_texts(self.encoder.embed_molecule(molecule), top_k, ("text", KEY, "names")))

    def get(self, inchikeys: Sequence[str]) -> Dataset:
        """Return the rows of some molecules, without vectors, in the order of their InChIKeys.

        Raises:
            KeyError: a molecule is not in the index.
        """
        rows = self._store.find(inchikeys, [name for name in self._store.schema.names if name not in HIDDEN])
        places = {key: place for place, key in enumerate(rows[KEY].to_pylist())}
        if missing := [key for key in inchikeys if key not in places]:
            raise KeyError(f"there is no molecule {missing[0]} in the index")
        return Dataset(rows.take(pa.array([places[key] for key in inchikeys], pa.int64())))

    def info(self) -> dict[str, Any]:
        """Return the numbers of molecules and texts, the size, the state of the approximate index, and the model."""
        return {"index": self._store.path, **self._store.describe(), **self._store.metadata}

    def read_vectors(self, limit: int) -> tuple[list[str], np.ndarray]:
        """Return InChIKeys and embeddings of all molecules, or of the first `limit`.

        Returns:
            The InChIKeys, and (molecules, size) float16.
        """
        keys, vectors = [], []
        for batch in self._store.scan((KEY, VECTOR)):
            keys.extend(batch[KEY].to_pylist())
            vectors.append(read_vectors(batch).astype(np.float16))
            if len(keys) >= limit:
                break
        size = self._store.metadata["embedding_size"]
        return keys[:limit], np.concatenate(vectors or [np.zeros((0, size), np.float16)])[:limit]

    def __len__(self) -> int:
        return self._store.count()

    def remove(self, where: str | None = None, inchikeys: Sequence[str] = ()) -> int:
        """Remove molecules and return their number.

        Args:
            where: condition in SQL.
            inchikeys: InChIKeys of molecules.
        Raises:
            ValueError: neither or both are given, or the condition is not valid.
        """
        if bool(where) == bool(inchikeys):
            raise ValueError("pass either a condition or InChIKeys of the molecules to remove")
        return self._store.remove(where or list_keys(inchikeys))

    def optimize(self) -> None:
        """Merge small files, delete old versions, and build or update the indices. `add` does so by itself."""
        self._store.optimize()
        self._store.write_vectors()

    def export(self, output: str | Path, where: str | None = None) -> int:
        """Write the molecules, or those that fulfil a condition in SQL, to a file, and return their number.

        Args:
            output: .csv, .jsonl, .smi, .sdf or .parquet file; only Parquet has the vectors.
            where: condition in SQL.
        Raises:
            ValueError: the ending is unknown, the condition is not valid, or there is no such molecule.
        """
        return export_rows(self._store, Path(output), where)


@contextmanager
def open_engine(engine: str, encoder: Encoder, num_proc: int) -> Iterator[tuple[Any, Any]]:
    """Yield where molecules are read and conformers made, and the model that embeds them, of one of `ENGINES`."""
    if engine == "ray":
        with start_ray(encoder, BUDGET) as started:
            yield started
    else:
        with Processes(num_proc, BUDGET) as processes:
            yield processes, encoder
