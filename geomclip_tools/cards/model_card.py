"""The card of a checkpoint folder, from what lies in it and from results files; it claims only what was measured."""

import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from ..evaluation import caption_table, denoising, invariance, property_prediction, retrieval, word_search
from ..records import RECORD, find_hub_id, read_json, redact_paths
from .training_story import list_base_models, tell_training

TASKS = {  # whose results a card shows
    "geomclip": ("retrieval", "word_queries", "denoising", "invariance", "overlap"),
    "geomclip_captioning": ("captioning",),
    "geomclip_geometry": ("denoising", "overlap"),
    "geomclip_property": ("property_prediction",),
}
PREFIXES = {
    "resampler": "{num_prefix_tokens} soft tokens, by queries that attend to the states of all atoms",
    "atoms": "a soft token for every atom",
    "pooled": "one soft token, the embedding of the molecule",
    "none": "nothing, so that this model sees no geometry and shows what the geometry is worth to others",
}
HEADLINES = {
    "retrieval": {
        f"{direction}_full_{name}": f"{direction.replace('_', ' ')}, full set, {label}"
        for direction in ("geometry_to_text", "text_to_geometry")
        for name, label in (("recall_at_1", "R@1"), ("recall_at_20", "R@20"))
    },
    "captioning": {"bleu_2": "BLEU-2", "rouge_l": "ROUGE-L", "meteor": "METEOR"},
    "property_prediction": {"standardised_mae": "standardised MAE", "mean_roc_auc": "ROC-AUC"},
}
TASK_NAMES = {
    "retrieval": "molecule-text retrieval",
    "captioning": "molecule captioning",
    "property_prediction": "molecular property prediction",
}


def write_model_card(
    model_dir: str | Path,
    results: list[str | Path] | None = None,
    name: str | None = None,
    notes: str | Path | None = None,
) -> Path:
    """Write `README.md` into a checkpoint folder.

    Args:
        model_dir: folder with `config.json` and, from the trainer, `train_config.json`.
        results: files written by `geomclip evaluate`, or what `overlap` printed; without any the card says "not
            evaluated".
        name: of the model, by which the card's code loads it; left out, that of the folder.
        notes: file with Markdown on what no record tells, such as licences; it follows the training.
    Returns:
        The path of the card.
    Raises:
        ValueError: when the folder is no checkpoint, or a results file is of a task that such a model is not made for.
    """
    model_dir = Path(model_dir)
    if not (model_dir / "config.json").is_file():
        raise ValueError(f"{model_dir} has no config.json; give the folder of a saved checkpoint")
    config = read_json(model_dir / "config.json")
    training = read_json(model_dir / RECORD) if (model_dir / RECORD).is_file() else {}
    records = [read_results(path) for path in results or ()]
    kind = find_kind(config)
    check_tasks(kind, records)
    name = name or model_dir.resolve().name
    card = ModelCard(
        read_template(kind).substitute(
            describe_model(config, model_dir),
            name=name,
            handedness=describe_handedness(config),
            training="\n\n".join([write_training_section(training), *read_notes(notes)]),
            evaluation="\n\n".join(map(write_evaluation_section, records)) or "Not evaluated.",
        )
    )
    card.data.model_name = name
    dataset = training.get("dataset")
    card.data.datasets = [find_hub_id(training, "dataset") or Path(dataset).name] if dataset else None
    card.data.base_model = list_base_models(training) or None
    card.data.eval_results = [
        result for record in records for result in list_eval_results(record, card.data.pipeline_tag)
    ] or None
    card.save(model_dir / "README.md")
    return model_dir / "README.md"


def find_kind(config: dict[str, Any]) -> str:
    """One of `TASKS`: the model_type, but a geometry tower with a head for properties is a kind of its own."""
    is_predictor = "GeomCLIPForPropertyPrediction" in (config.get("architectures") or ())
    return "geomclip_property" if is_predictor else config.get("model_type", "model of unknown type")


def read_results(path: str | Path) -> dict[str, Any]:
    """The record of an evaluation or of `overlap`.

    Raises:
        ValueError: the file holds no such record.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "task" not in record:
        raise ValueError(f"{path} names no task; give a results file of `geomclip evaluate` or of overlap")
    return record


def check_tasks(kind: str, records: list[dict[str, Any]]) -> None:
    """Refuse results that have no place on the card.

    Raises:
        ValueError: there is no card for such a model, or it shows no such task.
    """
    if kind not in TASKS:
        raise ValueError(f"there is no card for a {kind!r}; give a checkpoint of {' or '.join(TASKS)}")
    for task in (record["task"] for record in records):
        if task not in TASKS[kind]:
            allowed = " or ".join(TASKS[kind])
            raise ValueError(f"results of the task {task!r} have no place on a card of a {kind}; give {allowed}")


def read_template(name: str) -> Template:
    return Template((files(__package__) / "templates" / f"{name}.md").read_text(encoding="utf-8"))


def describe_model(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
    """What a card says of the model's shape and, of a captioner, of what its folder holds."""
    kind = find_kind(config)
    if kind == "geomclip_property":
        return describe_predictor(config, model_dir)
    if kind != "geomclip_captioning":
        return {"projection_dim": str(config.get("projection_dim"))}
    weights = "This folder holds the whole model."
    if config.get("base_model"):
        weights = read_template("adapter").substitute(base_model=config["base_model"]).strip()
    return {"prefix": PREFIXES[config["prefix"]].format(**config), "weights": weights}


def describe_handedness(config: dict[str, Any]) -> str:
    """What the geometry tower makes of mirror images."""
    if config.get("geometry_config", config).get("chirality_channels"):
        return "reads handedness too: enantiomers differ, as far as training taught it to use that"
    return "sees distances only: enantiomers cannot be told apart"


def describe_predictor(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
    """What a predictor predicts, and of which atoms it takes it."""
    names = list(config["id2label"].values())
    is_regression = config["problem_type"] == "regression"
    units = (config.get("label_units") if is_regression else None) or [""] * len(names)
    listed = [f"`{name}`" + (f" ({unit})" if unit else "") for name, unit in zip(names, units)]
    extractor = model_dir / "preprocessor_config.json"
    reads_hydrogens = extractor.is_file() and not read_json(extractor)["remove_hydrogens"]
    return {
        "properties": ", ".join(listed),
        "logits": "in these units" if is_regression else "of classes",
        "hydrogens": "Hydrogens are read: a structure without them gets another prediction."
        if reads_hydrogens
        else "Hydrogens are not read.",
    }


def write_training_section(training: dict[str, Any]) -> str:
    """What the parts started from, what those had been trained on, and the settings, from the trainer's record."""
    if not training:
        return "This folder does not record how the checkpoint was trained."
    settings = json.dumps(redact_paths(training), indent=2, ensure_ascii=False)
    return f"{' '.join(tell_training(training))} All settings:\n\n```json\n{settings}\n```"


def read_notes(notes: str | Path | None) -> list[str]:
    return [Path(notes).read_text(encoding="utf-8").strip()] if notes else []


def write_evaluation_section(record: dict[str, Any]) -> str:
    """The numbers of one results file, with what they were measured on and the command that repeats them."""
    settings = record["settings"]
    title = record["task"].replace("_", " ").capitalize()
    is_of_words = record["task"] == "word_queries"
    facts = [f"{record['num_molecules']:,} molecules" if is_of_words else f"{record['num_rows']:,} rows"]
    if record.get("failures"):
        facts.append(f"{len(record['failures'])} molecules refused by the processor")
    if "seed" in settings:
        facts.append(f"seed {settings['seed']}")
    return (
        f"### {title}\n\n"
        f"Split `{settings['split']}` of `{settings['dataset']}`, {', '.join(facts)}:\n`{record['command']}`\n\n"
        f"{format_numbers(record)}"
    )


def format_numbers(record: dict[str, Any]) -> str:
    """The figures as the command that measured them prints them."""
    formats = {
        "retrieval": lambda: retrieval.format_table(record["metrics"]),
        "word_queries": lambda: word_search.format_table(record["metrics"]),
        "captioning": lambda: format_captioning(record),
        "property_prediction": lambda: property_prediction.format_properties(record),
        "overlap": lambda: format_overlap(record),
        "invariance": lambda: f"```\n{invariance.format_changes(record)}\n```",
        "denoising": lambda: f"```\n{denoising.format_losses(record)}\n```",
    }
    return formats[record["task"]]()


def format_captioning(record: dict[str, Any]) -> str:
    """Scores of all systems, and the loss with the right geometry and with another molecule's."""
    return f"{caption_table.format_scores(record)}\n\n{caption_table.format_losses(record['geometry_losses'])}"


def format_overlap(record: dict[str, Any]) -> str:
    """Which lists have how many molecules of those that were trained on and, if any list has texts, how many texts."""
    columns = {"molecules": "molecules", "rows": "rows"}
    if any("texts" in found for found in record["overlap"].values()):
        columns |= {"texts": "texts", "rows_with_text": "rows with these"}
    lines = [[name, *(found.get(column, "") for column in columns)] for name, found in record["overlap"].items()]
    head = [f"of {record['molecules']:,} molecules, on the list", *columns.values()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *lines])


def list_eval_results(record: dict[str, Any], task_type: str) -> list[EvalResult]:
    """The headline numbers of a results file, for the card's metadata; what was not measured is left out."""
    task, settings = record["task"], record["settings"]
    headline = HEADLINES.get(task, {})
    measured = record["scores" if task == "captioning" else "metrics"] if headline else {}
    measured = measured.get("model", measured)
    return [
        EvalResult(
            task_type=task_type,
            task_name=TASK_NAMES[task],
            dataset_type=settings["dataset"],
            dataset_name=settings["dataset"],
            dataset_split=settings["split"],
            metric_type=key,
            metric_name=label,
            metric_value=round(measured[key], 4),
        )
        for key, label in headline.items()
        if measured.get(key) is not None
    ]
