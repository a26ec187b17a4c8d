"""Format the scores of captioners as tables."""

from typing import Any

SCORES = {"bleu_2": "BLEU-2", "bleu_4": "BLEU-4", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}
SCORES |= {"meteor": "METEOR", "consistency": "consistency", "fact_precision": "fact precision"}
SCORES |= {"fact_recall": "fact recall"}

FALSE = {"false_element": "a false element", "false_ring": "a false ring", "false_charge": "a false charge"}


def format_scores(results: dict[str, Any]) -> str:
    """Format the scores of `score_systems` as Markdown.

    The first table has the scores of every system in percent, the second one the differences between the model and each
    other system. A last line gives the reason if METEOR is missing.
    """
    tables = []
    for title, rows in (("system", results["scores"]), ("model minus", results["differences"])):
        lines = [f"| {title} | {' | '.join(SCORES.values())} |", "| --- |" + " --- |" * len(SCORES)]
        lines += [f"| {name} | {' | '.join(_cell(values, key) for key in SCORES)} |" for name, values in rows.items()]
        tables.append("\n".join(lines))
    if reason := results["scores"]["model"].get("meteor_unavailable"):
        tables.append(f"no METEOR: {reason}")
    return "\n\n".join(tables)


def format_false_statements(results: dict[str, Any]) -> str:
    """Format how many captions of every system name an element, a ring or a charge that the molecule lacks."""
    lines = [f"| captions with | {' | '.join(FALSE.values())} |", "| --- |" + " --- |" * len(FALSE)]
    rows = results["scores"].items()
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(_cell(values, key) for key in FALSE)} |" for name, values in rows)]
    )


def _cell(values: dict[str, float | None], key: str) -> str:
    if values.get(key) is None:
        return "–"
    return f"{100 * values[key]:.1f}{_ends(values, key, 100, 1)}"


def _ends(values: dict[str, float | None], key: str, scale: float, digits: int) -> str:
    """Format the interval in brackets after a space; return an empty string without an interval."""
    if values.get(f"{key}_low") is None:
        return ""
    low, high = (scale * values[f"{key}_{end}"] for end in ("low", "high"))
    return f" [{low:.{digits}f}, {high:.{digits}f}]"


def format_losses(losses: dict[str, float | None]) -> str:
    """Format the losses of `compare_geometries` as one line."""
    return (
        f"caption loss: {losses['right_geometry']:.4f} nats per token with the correct geometry, "
        f"{losses['other_geometry']:.4f} with another molecule's; mean paired difference {losses['difference']:.4f}"
        f"{_ends(losses, 'difference', 1, 4)}, "
        f"the correct geometry is better in {100 * losses['share_of_rows_better']:.1f} % of rows"
    )
