"""`geomclip evaluate property_prediction`: evaluate a property predictor."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset_pubchem3d.pairs import load_molecules, read_label_units

from ..evaluation.property_prediction import check_units, evaluate_properties, format_properties, list_targets
from ..loading import load_predictor
from ..records import write_results
from .evaluation_settings import ConformerSettings, EvaluationSettings, print_failures
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate property_prediction --model predictor --dataset qm9 --split test --output results/property.json"
)


@dataclass(frozen=True, kw_only=True)
class PropertySettings(ConformerSettings, EvaluationSettings):
    """Settings of `geomclip evaluate property_prediction`."""

    num_bootstrap: int = field(default=1000, metadata={"help": "bootstrap resamples for the confidence intervals"})


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "property_prediction")) -> None:
    """Evaluate a property predictor, print a table and write the results."""
    settings = parse_flags(PropertySettings, argv, " ".join(command), EXAMPLE)
    model, extractor = load_predictor(settings.model)
    columns = (*list_targets(model.config), *settings.columns)
    rows = load_molecules(settings.dataset, settings.split, settings.dataset_config, columns, settings.encoding)
    check_units(model.config, read_label_units(settings.dataset))
    evaluation = evaluate_properties(
        model,
        extractor,
        rows,
        settings.coordinates,
        settings.num_conformers,
        settings.num_bootstrap,
        settings.seed,
        settings.pair_budget,
    )
    print(format_properties(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, rows, {"task": "property_prediction", **evaluation}, [*command, *argv])
