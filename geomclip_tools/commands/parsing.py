"""Command-line flags from the fields of a settings dataclass."""

import argparse
from collections.abc import Sequence
from itertools import takewhile
from typing import TypeVar

from transformers import HfArgumentParser

Settings = TypeVar("Settings")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the default of a flag unless it is None, and mark required flags."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required:
            return f"{action.help} (required)"
        return action.help if action.default is None else super()._get_help_string(action)


def build_parser(settings_class: type[Settings], prog: str, example: str) -> HfArgumentParser:
    """Build a parser whose help starts with an example.

    Args:
        settings_class: a dataclass with a `help` text in the metadata of each field. Flags may be spelled with dashes
            or underscores.
        prog: the command, such as `geomclip embed`.
        example: a complete command line.
    """
    usage = f"{example}\n\n       {prog} [--flag value ...]"
    usage = usage.replace("%", "%%")
    return HfArgumentParser(settings_class, prog=prog, usage=usage, formatter_class=HelpFormatter, allow_abbrev=False)


def parse_flags(settings_class: type[Settings], argv: Sequence[str], prog: str, example: str) -> Settings:
    """Parse a command line into settings.

    Raises:
        SystemExit: after `--help`, or if a flag is missing or has a value of the wrong type.
        ValueError: there is no such setting, or a value is not allowed.
    """
    parser = build_parser(settings_class, prog, example)
    if unknown := parser.parse_known_args(list(argv))[1]:  # first: a required flag may be misspelt
        raise ValueError(f"there is no setting {' '.join(unknown)}; `{prog} --help` lists all settings")
    return parser.parse_args_into_dataclasses(list(argv))[0]


def name_leading_words(argv: Sequence[str], flag: str) -> list[str]:
    """Return a command line with the words before the first flag as the values of `flag`."""
    words = [*takewhile(lambda word: not word.startswith("-"), argv)]
    return [flag, *words, *argv[len(words) :]] if words else [*argv]


def name_first_words(argv: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return a command line with its words before the first flag as the values of `flags`, one each, in order."""
    words = [*takewhile(lambda word: not word.startswith("-"), argv)]
    named = [part for pair in zip(flags, words) for part in pair]
    return [*named, *argv[min(len(words), len(flags)) :]]
