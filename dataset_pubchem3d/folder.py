"""A published folder: Parquet files by split, the dataset card and the build report, written whole or not at all."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from .pubchem3d import content_digest, split_files
from .schema import COLUMNS, FEATURES
from .sources.chemicals import MEASURED_TABLES
from .splits import SPLITS

CARD_TEMPLATE = Path(__file__).with_name("README.md")
REPORT = "build_report.json"
BUILDER = "dataset_pubchem3d"


def refuse_foreign_folder(out: Path) -> None:
    """Raise FileExistsError if `out` exists and is not a folder that `write_folder` wrote."""
    if not out.exists():
        return
    report = out / REPORT
    if not report.is_file() or f'"builder": "{BUILDER}"' not in report.read_text(encoding="utf-8"):
        raise FileExistsError(f"{out} exists and was not built by {BUILDER}; choose another --out or remove it")


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends well and vanishes when it does not."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as staging:
        new, old = Path(staging) / "new", Path(staging) / "old"
        new.mkdir()
        yield new
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise


def write_folder(folder: Path, rows: list[dict], report: dict) -> dict:
    """Write rows of `schema.py` and what is to be known of them.

    Args:
        folder: an empty folder.
        rows: complete rows, every one with its `split`.
        report: what the builder counted.
    Returns:
        `report` and the measured figures of the rows, as written to the report file.
    """
    infos = SplitDict()
    for split in SPLITS:
        part = Dataset.from_list([row for row in rows if row["split"] == split], features=FEATURES)
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        part.to_parquet(path)
        infos.add(SplitInfo(split, num_bytes=part.data.nbytes, num_examples=len(part)))
    report = {"builder": BUILDER, **report, **measure(rows), "sha256": content_digest(folder)}
    (folder / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_card(folder, infos, report)
    return report


def measure(rows: list[dict]) -> dict:
    """Figures of the rows that the card states."""
    words = [len(row["text"].split()) for row in rows]
    atoms = [len(row["atomic_numbers"]) for row in rows]
    return {
        "rows": len(rows),
        "splits": dict(Counter(row["split"] for row in rows)),
        "text_kinds": dict(Counter(row["text_kind"] for row in rows)),
        "distinct_texts": len({row["text"] for row in rows}),
        "words_median": median(words),
        "words_max": max(words),
        "atoms_median": median(atoms),
        "atoms_max": max(atoms),
    }


def write_card(folder: Path, infos: SplitDict, report: dict) -> None:
    """Fill the card's template. The digest in its YAML makes `load_dataset` see a rebuilt folder as another one."""
    files = {split: [str(file.relative_to(folder)) for file in found] for split, found in split_files(folder).items()}
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    info = DatasetInfo(
        features=FEATURES,
        splits=infos,
        download_size=size,
        dataset_size=sum(split.num_bytes for split in infos.values()),
    )
    card_data = DatasetCardData(
        pretty_name="PubChem3D",
        language="en",
        license="other",
        license_name="mixed-see-card",
        size_categories="1K<n<10K",
        task_categories=["feature-extraction", "text-retrieval"],
        tags=["chemistry", "molecules", "3d", "geometry", "pubchem", "qm9"],
    )
    config = {
        "description": f"sha256:{report['sha256']}",
        "data_files": [{"split": split, "path": paths} for split, paths in files.items()],
        "default": True,
    }
    MetadataConfigs({"default": config}).to_dataset_card_data(card_data)
    DatasetInfosDict({"default": info}).to_dataset_card_data(card_data)
    card = DatasetCard.from_template(
        card_data, template_path=str(CARD_TEMPLATE), columns=COLUMNS, tables=MEASURED_TABLES, **report
    )
    card.save(folder / "README.md")
