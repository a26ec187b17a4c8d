"""`geomclip card`"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..cards.model_card import write_model_card
from .parsing import parse_flags

EXAMPLE = "geomclip card --model geomclip --results results/retrieval.json results/denoising.json"


@dataclass(frozen=True, kw_only=True)
class CardSettings:
    """Write the model card of a checkpoint folder from its files and from results files."""

    model: str = field(metadata={"help": "checkpoint folder, into which README.md is written"})
    results: list[str] = field(
        default_factory=list, metadata={"help": "results files of `geomclip evaluate` and of overlap"}
    )
    notes: str | None = field(
        default=None,
        metadata={
            "help": "Markdown file with facts that no record contains, such as licences; it follows the section on "
            "training"
        },
    )


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "card")) -> None:
    """Run `geomclip card`."""
    settings = parse_flags(CardSettings, argv, " ".join(command), EXAMPLE)
    print(f"wrote {write_model_card(settings.model, settings.results, notes=settings.notes)}")
