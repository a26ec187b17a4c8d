"""`geomclip evaluate word_queries`"""

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
    """Do short words find the molecules that they name, among those of a dataset?"""

    molecules: str | None = field(
        default=None,
        metadata={"help": "text file of first blocks of InChIKeys, one a line: only these molecules are searched"},
    )
    details: str | None = field(default=None, metadata={"help": "CSV file to write: the scores of every query"})
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples of the queries for the intervals"})


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "word_queries")) -> None:
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
    """The lines of a file that are not blank.

    Raises:
        ValueError: there is none.
        OSError: the file cannot be read.
    """
    blocks = {line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()} - {""}
    if not blocks:
        raise ValueError(f"--molecules {path} has no line; give first blocks of InChIKeys, or leave the flag out")
    return blocks


def print_left_out(choice: Choice, path: str | None) -> None:
    """How many rows were not searched, and how many molecules that should have been are not there."""
    if choice.num_repeated:
        print(f"left out: {count_things(choice.num_repeated, 'row')} of a molecule that has an earlier row")
    if choice.num_unknown:
        print(f"not in the dataset: {count_things(choice.num_unknown, 'molecule')} of {path}")
