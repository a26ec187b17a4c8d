"""`geomclip evaluate word_queries`: search the molecules of a dataset with short word queries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataset_pubchem3d.pairs import load_molecules

from ..evaluation.word_search import Choice, choose_molecules, evaluate_word_queries, format_table
from ..loading import load_geomclip
from ..records import write_results
from .evaluation_settings import ConformerSettings, EvaluationSettings, print_failures, write_ranks
from .molecules import count_things
from .parsing import parse_flags

EXAMPLE = "geomclip evaluate word_queries --model geomclip --dataset pubchem3d --split test --output results/words.json"


@dataclass(frozen=True, kw_only=True)
class WordQuerySettings(ConformerSettings, EvaluationSettings):
    """Settings of `geomclip evaluate word_queries`."""

    molecules: str | None = field(
        default=None,
        metadata={"help": "text file of first InChIKey blocks, one per line; restricts the search to these molecules"},
    )
    details: str | None = field(default=None, metadata={"help": "CSV file to write: the scores of each query"})
    num_bootstrap: int = field(
        default=1000, metadata={"help": "bootstrap resamples of the queries for the confidence intervals"}
    )


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "word_queries")) -> None:
    """Evaluate word queries, print a table, and write the results and optionally the scores of each query."""
    settings = parse_flags(WordQuerySettings, argv, " ".join(command), EXAMPLE)
    blocks = None if settings.molecules is None else read_blocks(settings.molecules)
    rows = load_molecules(settings.dataset, settings.split, settings.dataset_config, ("smiles",), settings.encoding)
    choice = choose_molecules(rows, blocks)
    evaluation = evaluate_word_queries(
        *load_geomclip(settings.model),
        choice.molecules,
        settings.pair_budget,
        settings.seed,
        settings.num_bootstrap,
        coordinates=settings.coordinates,
        num_conformers=settings.num_conformers,
    )
    evaluation["failures"] = [
        {"row": choice.rows[failure["row"]], "reason": failure["reason"]} for failure in evaluation["failures"]
    ]
    print(format_table(evaluation["metrics"]))
    print(f"searched: {count_things(evaluation['num_molecules'], 'molecule')}")
    print_left_out(choice, settings.molecules)
    print_failures(evaluation["failures"])
    queries = evaluation["queries"]
    write_ranks({name: [query[name] for query in queries] for name in queries[0]}, settings.details)
    counts = {"num_repeated": choice.num_repeated, "num_unknown": choice.num_unknown}
    write_results(settings, choice.molecules, {"task": "word_queries", **evaluation, **counts}, [*command, *argv])


def read_blocks(path: str) -> set[str]:
    """Read first blocks of InChIKeys from the non-blank lines of a file.

    Raises:
        ValueError: if the file has no such line.
        OSError: if the file cannot be read.
    """
    blocks = {line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()} - {""}
    if not blocks:
        raise ValueError(f"--molecules {path} has no first block of an InChIKey; list one per line, or omit the flag")
    return blocks


def print_left_out(choice: Choice, path: str | None) -> None:
    """Print how many rows were skipped as duplicates and how many requested molecules are missing."""
    if choice.num_repeated:
        print(f"skipped: {count_things(choice.num_repeated, 'row')} of a molecule that occurs in an earlier row")
    if choice.num_unknown:
        print(f"not in the dataset: {count_things(choice.num_unknown, 'molecule')} of {path}")
