"""Write the model card of a checkpoint folder from its files and from results files.

A card contains only what these files record or measured. Local paths are left out; the metadata names only datasets and
models of the Hub.
"""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import ModelCard

from ..records import RECORD, read_json
from .evaluation_section import list_eval_results, read_results, write_evaluation_section
from .training_story import (
    Stage,
    format_stages,
    list_base_models,
    list_dataset_ids,
    list_stages,
    tell_data,
    tell_procedure,
)

TASKS = {  # evaluations shown on the card of each kind of model
    "geomclip": ("retrieval", "word_queries", "denoising", "invariance", "overlap"),
    "geomclip_captioning": ("captioning",),
    "geomclip_geometry": ("denoising", "overlap"),
    "geomclip_property": ("property_prediction",),
}
PREFIXES = {
    "resampler": "{num_prefix_tokens} soft tokens, made by queries that attend to the states of all atoms",
    "atoms": "one soft token per atom",
    "pooled": "one soft token, the embedding of the molecule",
    "none": "no input from the geometry. This model is a control that does not see the geometry",
}
SETTINGS = "[train_config.json](train_config.json) contains all settings of all stages."


def write_model_card(
    model_dir: str | Path,
    results: list[str | Path] | None = None,
    name: str | None = None,
    notes: str | Path | None = None,
) -> Path:
    """Write `README.md` into a checkpoint folder.

    Args:
        model_dir: folder with `config.json` and, from the trainer, `train_config.json`.
        results: results files of `geomclip evaluate` and the output of `overlap`; without any, the card says "Not
            evaluated."
        name: name of the model, from which the code on the card loads it; the folder's name if omitted.
        notes: Markdown file with facts that no record contains, such as licences; it follows the section on training.
    Returns:
        The path of the card.
    Raises:
        ValueError: if the folder is not a checkpoint, or if a results file is of a task that the card does not show.
    """
    model_dir = Path(model_dir)
    if not (model_dir / "config.json").is_file():
        raise ValueError(f"{model_dir} has no config.json; give the folder of a saved checkpoint")
    config = read_json(model_dir / "config.json")
    stages = list_stages(read_json(model_dir / RECORD)) if (model_dir / RECORD).is_file() else []
    records = [read_results(path) for path in results or ()]
    kind = find_kind(config)
    check_tasks(kind, records)
    name = name or model_dir.resolve().name
    card = ModelCard(
        read_template(kind).substitute(
            describe_model(config, model_dir),
            name=name,
            handedness=describe_handedness(config),
            training="\n\n".join([write_training_section(stages), *read_notes(notes)]),
            evaluation="\n\n".join(map(write_evaluation_section, records)) or "Not evaluated.",
        )
    )
    card.data.datasets = list_dataset_ids(stages) or None
    card.data.base_model = list_base_models(stages) or None
    if eval_results := [result for record in records for result in list_eval_results(record, card.data.pipeline_tag)]:
        card.data.model_name, card.data.eval_results = name, eval_results
    card.save(model_dir / "README.md")
    return model_dir / "README.md"


def find_kind(config: dict[str, Any]) -> str:
    """Return the key of `TASKS`: the model type, or a separate key for a geometry tower with a property head."""
    is_predictor = "GeomCLIPForPropertyPrediction" in (config.get("architectures") or ())
    return "geomclip_property" if is_predictor else config.get("model_type", "model of unknown type")


def check_tasks(kind: str, records: list[dict[str, Any]]) -> None:
    """Check that the card of this kind of model shows the results.

    Raises:
        ValueError: if there is no card for this kind of model, or if its card does not show a task.
    """
    if kind not in TASKS:
        raise ValueError(f"there is no card for a {kind!r}; give a checkpoint of {' or '.join(TASKS)}")
    for task in (record["task"] for record in records):
        if task not in TASKS[kind]:
            allowed = " or ".join(TASKS[kind])
            raise ValueError(f"the card of a {kind} does not show results of the task {task!r}; give {allowed}")


def read_template(name: str) -> Template:
    """Read a template of this package by its name without suffix."""
    return Template((files(__package__) / "templates" / f"{name}.md").read_text(encoding="utf-8"))


def describe_model(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
    """Return the values in a template that depend on the model's configuration."""
    kind = find_kind(config)
    if kind == "geomclip_property":
        return describe_predictor(config, model_dir)
    if kind != "geomclip_captioning":
        return {"projection_dim": str(config.get("projection_dim"))}
    weights = "This folder contains the whole model."
    if config.get("base_model"):
        weights = read_template("adapter").substitute(base_model=config["base_model"]).strip()
    return {"prefix": PREFIXES[config["prefix"]].format(**config), "weights": weights}


def describe_handedness(config: dict[str, Any]) -> str:
    """Return whether the geometry tower distinguishes mirror images."""
    if config.get("geometry_config", config).get("chirality_channels"):
        return "reads distances and handedness, so enantiomers differ. How well depends on its training"
    return "reads distances only, so it cannot distinguish enantiomers"


def describe_predictor(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
    """Return the properties that a predictor predicts, and whether it reads hydrogens."""
    names = list(config["id2label"].values())
    is_regression = config["problem_type"] == "regression"
    units = (config.get("label_units") if is_regression else None) or [""] * len(names)
    listed = [f"`{name}`" + (f" ({unit})" if unit else "") for name, unit in zip(names, units)]
    extractor = model_dir / "preprocessor_config.json"
    reads_hydrogens = extractor.is_file() and not read_json(extractor)["remove_hydrogens"]
    return {
        "properties": ", ".join(listed),
        "logits": "in these units" if is_regression else "of the classes",
        "hydrogens": "The model reads hydrogens. A structure without hydrogens gets a different prediction."
        if reads_hydrogens
        else "The model does not read hydrogens.",
    }


def write_training_section(stages: list[Stage]) -> str:
    """Return the data, the procedure and the table of stages of a training."""
    if not stages:
        return "This folder does not record how the checkpoint was trained."
    paragraphs = [f"**Data.** {tell_data(stages)}", f"**Procedure.** {tell_procedure(stages)}"]
    return "\n\n".join([*paragraphs, format_stages(stages), SETTINGS])


def read_notes(notes: str | Path | None) -> list[str]:
    """Read the notes as a list of one section, or of none."""
    return [Path(notes).read_text(encoding="utf-8").strip()] if notes else []
