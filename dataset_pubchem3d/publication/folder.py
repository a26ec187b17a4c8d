"""Write a published folder: Parquet files by config and split, card, report and quarantine, all or nothing.

Configs:
    default: all pairs.
    pretrain: the train and validation splits, without molecules and texts of benchmarks and without texts that also
        occur in a later split.
    captioning: the pairs with longer texts; train and validation are without benchmark molecules.
    a source of properties, by its name: its molecules, without texts.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..benchmarks import Benchmark
from ..chemistry.identity import BLOCK
from ..pairs import REPORT
from ..pubchem3d import digest_content
from ..recipe import Recipe
from ..schema import FEATURES, make_molecule_features
from ..stages.splits import SPLITS, find_shares
from ..stages.stage import Stage
from ..stages.windows import read_column
from .card import write_card
from .held_out import HeldOut
from .shards import ShardWriter
from .tally import Tally

BUILDER = "dataset_pubchem3d"
PAIR_SPLITS = {"default": (*SPLITS,), "pretrain": ("train", "validation"), "captioning": (*SPLITS,)}


def refuse_foreign_folder(out: Path) -> None:
    """Raise FileExistsError if `out` exists and is not a folder that `Folder` wrote."""
    if not out.exists():
        return
    report = out / REPORT
    if not report.is_file() or f'"builder": "{BUILDER}"' not in report.read_text(encoding="utf-8"):
        raise FileExistsError(f"{out} exists and was not built by {BUILDER}; choose another --out or remove it")


@contextmanager
def stage_folder(out: Path) -> Iterator[Path]:
    """Make an empty folder beside `out`, which replaces `out` if the block succeeds and is removed if it fails."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    new, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    if old.exists() and not out.exists():  # an earlier build was killed between the two renames below
        old.rename(out)
    for left in (new, old):
        rmtree(left, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        for left in (new, old):
            rmtree(left, ignore_errors=True)


class Folder:
    """Writer of a folder. Call the `add_...` methods as often as needed, then `finish`.

    Args:
        path: empty folder.
        recipe: recipe of the rows.
        benchmarks: benchmarks to keep out of training, by name.
        split_texts: hashes of the texts of validation and test, see `HeldOut`.
    """

    def __init__(
        self, path: Path, recipe: Recipe, benchmarks: dict[str, Benchmark], split_texts: dict[str, np.ndarray]
    ):
        self.path, self.recipe, self.benchmarks = path, recipe, benchmarks
        splits = dict(PAIR_SPLITS) if recipe.texts else {}
        self.features = dict.fromkeys(splits, FEATURES)
        if recipe.properties is not None:
            splits[recipe.properties.name] = (*SPLITS,)
            self.features[recipe.properties.name] = make_molecule_features(recipe.properties.property_columns)
        self.writer = ShardWriter(path / "data", splits, self.features)
        self.held_out, self.tally = HeldOut(benchmarks, split_texts), Tally(benchmarks)

    def add_pairs(self, rows: pa.Table) -> None:
        """Add rows of `schema.FEATURES`, without the column `benchmarks`, to the configs of pairs."""
        rows = self._add_benchmarks(rows)
        split = rows["split"].to_numpy(zero_copy_only=False)
        is_of_benchmark = (pc.list_value_length(rows["benchmarks"]).to_numpy() > 0) & (split != "test")
        words = np.array([len(text.split()) for text in rows["text"].to_pylist()])
        in_config = {
            "default": np.ones(len(rows), bool),
            "pretrain": ~self.held_out.find(rows),
            "captioning": ~is_of_benchmark & (words >= self.recipe.captioning_min_words),
        }
        for config, mask in in_config.items():
            for name in PAIR_SPLITS[config]:
                self.writer.write(config, name, rows.filter(pa.array(mask & (split == name))))
        self.tally.add(rows, words)

    def add_molecules(self, molecules: pa.Table) -> None:
        """Add rows of `schema.make_molecule_features`, without `benchmarks`, to the config of molecules."""
        molecules = self._add_benchmarks(molecules)
        split = molecules["split"].to_numpy(zero_copy_only=False)
        for name in SPLITS:
            self.writer.write(self.recipe.properties.name, name, molecules.filter(pa.array(split == name)))

    def add_quarantine(self, title: str, stage: Stage) -> None:
        """Write the records that a stage refused, with the reasons."""
        refused = (record for note in stage.read_notes() for record in note["refused"])
        if (first := next(refused, None)) is None:
            return
        file = self.path / "quarantine" / f"{title.replace(' ', '_')}.jsonl"
        file.parent.mkdir(exist_ok=True)
        with open(file, "w", encoding="utf-8") as lines:
            for record in (first, *refused):
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")

    def finish(self, counts: dict, given: dict) -> dict:
        """Close the files, write the report and the card, and return the report.

        Args:
            counts: counts of each stage.
            given: profile of the raw records, by source, see `TextSource.profile`.
        """
        infos = self.writer.close()
        report = {
            "builder": BUILDER,
            "recipe": self.recipe.to_dict(),
            "given": given,
            "counts": counts,
            "shares": {name: float(share) for name, share in find_shares(self.recipe.split_sizes).items()},
            "configs": {
                config: {name: info.num_examples for name, info in splits.items()} for config, splits in infos.items()
            },
            **(self.tally.report() | self.held_out.report() if self.recipe.texts else {}),
            "units": self._collect_units(),
            "sha256": {config: digest_content(self.path, config) for config in infos},
        }
        (self.path / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        write_card(self.path, self.features, infos, report, self.recipe)
        return report

    def _collect_units(self) -> dict[str, str]:
        """Return the units of the properties, by column."""
        columns = self.recipe.properties.property_columns if self.recipe.properties else ()
        return {column.name: column.unit for column in columns}

    def _add_benchmarks(self, rows: pa.Table) -> pa.Table:
        blocks = read_column(rows, "inchikey14", BLOCK)
        listed = {name: np.isin(blocks, benchmark.blocks) for name, benchmark in self.benchmarks.items()}
        names = [[name for name, is_in in listed.items() if is_in[row]] for row in range(len(rows))]
        return rows.append_column("benchmarks", pa.array(names, pa.list_(pa.string())))
