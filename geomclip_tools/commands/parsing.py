"""Flags of a command, made from the fields of its settings."""

from collections.abc import Sequence
from typing import TypeVar

from transformers import HfArgumentParser

Settings = TypeVar("Settings")


def build_parser(settings_class: type[Settings], prog: str, example: str) -> HfArgumentParser:
    """A parser whose help begins with an example.

    Args:
        settings_class: a dataclass; `help` in a field's metadata explains it. Every flag is written with dashes or
            underscores.
        example: a whole command line.
    """
    usage = f"{example}\n\n       {prog} [--flag value ...]"
    return HfArgumentParser(settings_class, prog=prog, usage=usage.replace("%", "%%"), allow_abbrev=False)


def parse_flags(settings_class: type[Settings], argv: Sequence[str], prog: str, example: str) -> Settings:
    """Settings that the words of a command line give.

    Raises:
        SystemExit: with help, or with what is wrong.
        ValueError: there is no such setting, or settings contradict each other.
    """
    parser = build_parser(settings_class, prog, example)
    if unknown := parser.parse_known_args(list(argv))[1]:  # before the settings, which may lack what was misspelt
        raise ValueError(f"there is no setting {' '.join(unknown)}; `{prog} --help` lists all")
    return parser.parse_args_into_dataclasses(list(argv))[0]
