"""`geomclip evaluate denoising`: evaluate the denoising of coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset_pubchem3d.pairs import load_molecules

from ..evaluation.denoising import evaluate_denoising, format_losses, load_denoiser
from ..records import write_results
from .evaluation_settings import EvaluationSettings, print_failures
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate denoising --model geomclip --dataset pubchem3d --split test --output results/denoising.json"
)


@dataclass(frozen=True, kw_only=True)
class DenoisingSettings(EvaluationSettings):
    """Settings of `geomclip evaluate denoising`."""

    num_draws: int = field(default=4, metadata={"help": "noise draws per molecule"})


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "denoising")) -> None:
    """Evaluate the denoising of coordinates, print the losses and write the results."""
    settings = parse_flags(DenoisingSettings, argv, " ".join(command), EXAMPLE)
    rows = load_molecules(settings.dataset, settings.split, settings.dataset_config, (), settings.encoding)
    denoiser = load_denoiser(settings.model)
    evaluation = evaluate_denoising(*denoiser, rows, settings.seed, settings.num_draws, settings.pair_budget)
    print(format_losses(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, rows, {"task": "denoising", **evaluation}, [*command, *argv])
