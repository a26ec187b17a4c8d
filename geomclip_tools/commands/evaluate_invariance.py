"""`geomclip evaluate invariance`: evaluate the invariance of geometry embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

from dataset_pubchem3d.pairs import load_pairs

from ..evaluation.invariance import evaluate_invariance, format_changes
from ..loading import load_geomclip
from ..records import write_results
from .evaluation_settings import EvaluationSettings, print_failures
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate invariance --model geomclip --dataset pubchem3d --split test --output results/invariance.json"
)


@dataclass(frozen=True, kw_only=True)
class InvarianceSettings(EvaluationSettings):
    """Settings of `geomclip evaluate invariance`."""


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "invariance")) -> None:
    """Evaluate the invariance of geometry embeddings, print the changes and write the results."""
    settings = parse_flags(InvarianceSettings, argv, " ".join(command), EXAMPLE)
    pairs = load_pairs(settings.dataset, settings.split, settings.dataset_config, settings.encoding)
    evaluation = evaluate_invariance(*load_geomclip(settings.model), pairs, settings.seed, settings.pair_budget)
    print(format_changes(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, pairs, {"task": "invariance", **evaluation}, [*command, *argv])
