"""`geomclip convert`: convert Uni-Mol checkpoints to geometry towers and back."""

from collections.abc import Sequence

from modeling_geomclip.convert_geomclip import main as convert


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "convert")) -> None:
    """Convert a checkpoint."""
    convert(argv, " ".join(command))
