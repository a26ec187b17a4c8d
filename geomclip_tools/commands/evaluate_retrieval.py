"""`geomclip evaluate retrieval`"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset_pubchem3d.pairs import load_molecules

from ..evaluation.retrieval import evaluate_retrieval, format_table
from ..loading import load_geomclip
from ..records import write_results
from .evaluation_settings import ConformerSettings, EvaluationSettings, print_failures, write_ranks
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate retrieval --model geomclip --dataset pubchem3d --split test --output results/retrieval.json"
)


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings(ConformerSettings, EvaluationSettings):
    """Does a text find its molecule, and a molecule its text, among molecules that the checkpoint has not seen?"""

    ranks: str | None = field(
        default=None,
        metadata={"help": "CSV file to write: each row's molecule, and the rank of its first hit in every table"},
    )
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals"})
    further: list[str] | None = field(
        default=None, metadata={"help": "datasets among whose molecules the texts are to find theirs too"}
    )
    further_split: str = field(default="train", metadata={"help": "split of these, such as train+validation"})


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "retrieval")) -> None:
    settings = parse_flags(RetrievalSettings, argv, " ".join(command), EXAMPLE)
    columns = ("text", *settings.columns)
    pairs = load_molecules(settings.dataset, settings.split, settings.dataset_config, columns, settings.encoding)
    further = [
        load_molecules(name, settings.further_split, settings.dataset_config, settings.columns, settings.encoding)
        for name in settings.further or ()
    ]
    evaluation = evaluate_retrieval(
        *load_geomclip(settings.model),
        pairs,
        settings.pair_budget,
        settings.seed,
        settings.num_bootstrap,
        with_random_positions=settings.coordinates == "given",
        coordinates=settings.coordinates,
        num_conformers=settings.num_conformers,
        further=further,
    )
    print(format_table(evaluation["metrics"]))
    print_failures(evaluation["failures"])
    write_ranks(evaluation.pop("ranks")["model"], settings.ranks)
    write_results(settings, pairs, {"task": "retrieval", **evaluation}, [*command, *argv])
