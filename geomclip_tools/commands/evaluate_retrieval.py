"""`geomclip evaluate retrieval`: evaluate retrieval between texts and molecules."""

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
    """Settings of `geomclip evaluate retrieval`."""

    ranks: str | None = field(
        default=None,
        metadata={"help": "CSV file to write: the molecule of each row and the rank of its first hit in each table"},
    )
    num_bootstrap: int = field(default=1000, metadata={"help": "bootstrap resamples for the confidence intervals"})
    further: list[str] | None = field(
        default=None, metadata={"help": "datasets whose molecules are further candidates for text queries"}
    )
    further_split: str = field(
        default="train", metadata={"help": "split of the --further datasets, such as train+validation"}
    )


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "retrieval")) -> None:
    """Evaluate retrieval, print tables, and write the results and optionally the ranks."""
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
