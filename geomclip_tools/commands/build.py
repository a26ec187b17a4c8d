"""`geomclip build`: build a dataset."""

from collections.abc import Sequence

from dataset_pubchem3d.command import main as run_command

from ..configurations import find_configuration


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "build")) -> None:
    """Run `python -m dataset_pubchem3d build`. `--config` may also name a shipped recipe, such as data/qm9."""
    run_command([command[-1], *resolve_config(argv)], prog=" ".join(command[:-1]))


def resolve_config(argv: Sequence[str]) -> list[str]:
    """Return the arguments with the recipe's name replaced by its path."""
    words = list(argv)
    for place, word in enumerate(words):
        if word == "--config" and place + 1 < len(words):
            words[place + 1] = str(find_configuration(words[place + 1], "data"))
        elif word.startswith("--config="):
            words[place] = f"--config={find_configuration(word.removeprefix('--config='), 'data')}"
    return words
