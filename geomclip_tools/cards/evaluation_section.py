"""Show results files on a card: a section with tables for each, and the headline numbers in the metadata."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ..evaluation import caption_table, denoising, invariance, property_prediction, retrieval, word_search
from ..records import read_json
from .dataset_names import find_dataset_id, name_dataset
from .training_story import format_table

TITLES = {
    "retrieval": "Molecule-text retrieval",
    "word_queries": "Word queries",
    "denoising": "Denoising",
    "invariance": "Invariance",
    "overlap": "Overlap of {dataset} with hold-out lists",
    "captioning": "Molecule captioning",
    "property_prediction": "Molecular property prediction",
}
MEANINGS = {
    "retrieval": """R@k is the percentage of queries with a hit among the first k candidates, and MRR is the mean
reciprocal rank. The heading of each table gives the number of candidates. Brackets contain 95 % bootstrap intervals.
*chance* ranks the candidates at random. *ceiling* is a perfect model under a stricter rule: where texts or molecules
repeat, only the query's own row is a hit. *random positions*, if present, is a control: this model with all atoms
placed at random.""",
    "word_queries": """Queries of a few words search molecules without texts. Rules over RDKit decide from the SMILES
which molecules are correct. Prevalence is the precision of a random order. P@k is the precision among the first k
molecules, or among as many as are correct if these are fewer. All values are means over queries, with 95 % bootstrap
intervals in brackets.""",
    "denoising": """The loss on the coordinates of noised atoms is compared with that of returning the noised
coordinates.""",
    "invariance": """Embeddings have unit length, and changes are Euclidean distances. A change of the input that leaves
the molecule the same should not change its embedding; moving an atom should.""",
    "overlap": """Molecules are compared by the first block of the InChIKey, so stereoisomers count as the same
molecule.""",
    "captioning": """Scores are percentages, with 95 % bootstrap intervals in brackets. The second table contains the
differences between the model and the other systems, and the third one how many captions name an element, a ring or a
charge that the molecule lacks. The caption loss is given for the correct geometry and for the
geometry of another molecule.""",
    "property_prediction": """Errors have the units of the property, and brackets contain 95 % bootstrap intervals. The
standardised MAE is the MAE divided by the standard deviation of the training labels, averaged over the properties.""",
}
FURTHER = "text_to_geometry_further"
HEADLINES = {  # metrics in the metadata
    "retrieval": {
        f"{direction}_full_{name}": f"{direction.replace('_', ' ')}, {label} of {{num_rows:,.0f}} candidates"
        for direction in ("geometry_to_text", "text_to_geometry")
        for name, label in (("recall_at_1", "R@1"), ("recall_at_20", "R@20"))
    }
    | {f"{FURTHER}_recall_at_{k}": f"text to geometry, R@{k} of {{num_candidates:,.0f}} candidates" for k in (1, 20)},
    "captioning": {"bleu_2": "BLEU-2", "rouge_l": "ROUGE-L", "meteor": "METEOR"},
    "property_prediction": {"standardised_mae": "standardised MAE", "mean_roc_auc": "ROC-AUC"},
}
LOCAL_DATASET = "custom"  # `dataset.type` in the metadata, which requires one, where there is no Hub id


def read_results(path: str | Path) -> dict[str, Any]:
    """Read the record of an evaluation or of `overlap`.

    Raises:
        ValueError: if the file does not contain such a record.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "task" not in record:
        raise ValueError(f"{path} names no task; give a results file of `geomclip evaluate` or of overlap")
    return record


def write_evaluation_section(record: dict[str, Any]) -> str:
    """Return the section of one results file: what was measured, on which data, by which command, and the numbers."""
    task, settings = record["task"], record["settings"]
    dataset = f"`{name_dataset(settings['dataset'])}`"
    data = ", ".join([f"split `{settings['split']}` of {dataset}", *list_facts(record)])
    return (
        f"### {TITLES[task].format(dataset=dataset)}\n\n"
        f"{MEANINGS[task]}\n\n"
        f"Data: {data}. Command:\n\n"
        f"```sh\n{record['command']}\n```\n\n"
        f"{format_numbers(record)}"
    )


def list_facts(record: dict[str, Any]) -> list[str]:
    """Return the config, the numbers of rows and of refused molecules, and the seed, as far as a record has them."""
    settings, refused = record["settings"], len(record.get("failures", ()))
    facts = [f"config `{settings['dataset_config']}`"] if settings.get("dataset_config") else []
    is_of_words = record["task"] == "word_queries"
    facts.append(f"{record['num_molecules']:,} molecules" if is_of_words else f"{record['num_rows']:,} rows")
    if refused:
        facts.append(f"{refused:,} {'molecules' if refused > 1 else 'molecule'} rejected by the processor")
    return facts + ([f"seed {settings['seed']}"] if "seed" in settings else [])


def format_numbers(record: dict[str, Any]) -> str:
    """Format the numbers as the command that measured them prints them."""
    formats = {
        "retrieval": lambda: retrieval.format_table(choose_metrics(record)),
        "word_queries": lambda: word_search.format_table(record["metrics"]),
        "captioning": lambda: format_captioning(record),
        "property_prediction": lambda: property_prediction.format_properties(record),
        "overlap": lambda: format_overlap(record),
        "invariance": lambda: f"```\n{invariance.format_changes(record)}\n```",
        "denoising": lambda: f"```\n{denoising.format_losses(record)}\n```",
    }
    return formats[record["task"]]()


def choose_metrics(record: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a record; if there were further molecules, only those that differ from a record without."""
    metrics = record["metrics"]
    if record["task"] != "retrieval" or "num_further" not in metrics["model"]:
        return metrics
    repeated = tuple(scope for scope in retrieval.SCOPES if scope != FURTHER)
    chosen = {name: value for name, value in metrics["model"].items() if not name.startswith(repeated)}
    return {"model": chosen | {"num_candidates": chosen["num_rows"] + chosen["num_further"]}}


def format_captioning(record: dict[str, Any]) -> str:
    """Format the scores and false statements of all systems, and the losses with the correct and another geometry."""
    parts = [caption_table.format_scores(record), caption_table.format_false_statements(record)]
    return "\n\n".join([*parts, caption_table.format_losses(record["geometry_losses"])])


def format_overlap(record: dict[str, Any]) -> str:
    """Format how many molecules, and texts if a list has any, each hold-out list shares with the training data."""
    columns = {"molecules": "shared molecules", "rows": "rows with them"}
    if any("texts" in found for found in record["overlap"].values()):
        columns |= {"texts": "shared texts", "rows_with_text": "rows with them"}
    rows = [[name, *(str(found.get(column, "")) for column in columns)] for name, found in record["overlap"].items()]
    table = format_table([["hold-out list", *columns.values()], *rows])
    return f"The split has {record['molecules']:,} molecules.\n\n{table}"


def list_eval_results(record: dict[str, Any], task_type: str) -> list[EvalResult]:
    """Return the headline numbers of a results file for the metadata, without those that were not measured.

    A local dataset has no Hub id: its type is `LOCAL_DATASET`, and its revision is the digest of its rows, which keeps
    the results of different local datasets apart.
    """
    task, settings = record["task"], record["settings"]
    headline = HEADLINES.get(task, {})
    measured = (record["scores"] if task == "captioning" else choose_metrics(record)) if headline else {}
    measured = measured.get("model", measured)
    hub_id, name = find_dataset_id(settings["dataset"]), name_dataset(settings["dataset"])
    return [
        EvalResult(
            task_type=task_type,
            task_name=TITLES[task],
            dataset_type=hub_id or LOCAL_DATASET,
            dataset_name=name if hub_id else f"{name} (local dataset)",
            dataset_config=settings.get("dataset_config"),
            dataset_split=settings["split"],
            dataset_revision=None if hub_id else record.get("data_sha256"),
            metric_type=key,
            metric_name=label.format(**measured),
            metric_value=round(measured[key], 4),
        )
        for key, label in headline.items()
        if measured.get(key) is not None
    ]
