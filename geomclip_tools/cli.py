"""The command `geomclip`."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

COMMANDS = {
    "build": "make the dataset PubChem3D, or one of your own table",
    "train": "pre-train a GeomCLIP or a geometry tower, fine-tune a captioner or a predictor",
    "evaluate": "measure retrieval, word queries, denoising, invariance, captioning or property prediction",
    "study": "compare variants of a training over seeds, freeze a choice, test it once",
    "embed": "molecules or texts to embeddings in a file",
    "caption": "molecules to captions in a file",
    "predict": "molecules to properties in a file",
    "convert": "a checkpoint of Uni-Mol's to a geometry tower, and back",
    "card": "write the card of a checkpoint",
}
EVALUATIONS = ("retrieval", "word_queries", "denoising", "invariance", "captioning", "property_prediction")
EXAMPLE = "geomclip embed --model release/geomclip-mini --molecules molecules.csv --output embeddings.npz"
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; `argv` is left out but in tests.

    Raises:
        SystemExit: after help; there is no such command; or as `with_errors_in_a_line`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in HELP:
        print(describe_commands())
        raise SystemExit(0 if words else 2)
    if words[0] not in COMMANDS:
        raise SystemExit(f"geomclip: there is no command {words[0]!r}; choose one of {', '.join(COMMANDS)}")
    name, rest = words[0], words[1:]
    if name == "evaluate":
        run_evaluation(rest)
    else:
        run_command(name, rest, ("geomclip", name))


def describe_commands() -> str:
    """The help of `geomclip`."""
    lines = [f"usage: {EXAMPLE}", "", "       geomclip COMMAND [--flag value ...]", "", "commands:"]
    lines += [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    lines += ["", "`geomclip COMMAND --help` begins with an example and lists the flags."]
    lines += ["With the environment variable GEOMCLIP_TRACEBACK set, errors show where they come from."]
    return "\n".join(lines)


def run_evaluation(words: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate")) -> None:
    """`geomclip evaluate TASK ...`

    Raises:
        SystemExit: after help; there is no such task; or as `with_errors_in_a_line`.
    """
    if not words or words[0] not in EVALUATIONS:
        prog = " ".join(command)
        example = f"{prog} retrieval --model geomclip --dataset pubchem3d --split test --output results/retrieval.json"
        print(f"usage: {example}\n\n       {prog} {{{','.join(EVALUATIONS)}}} [--flag value ...]")
        if words and words[0] in HELP:
            raise SystemExit(0)
        raise SystemExit(f"{prog}: name one of {', '.join(EVALUATIONS)}" + (f", not {words[0]!r}" if words else ""))
    run_command(f"evaluate_{words[0]}", words[1:], (*command, words[0]))


def run_command(module: str, words: Sequence[str], command: Sequence[str]) -> None:
    """`main` of a module of `commands`, which is imported only now: `geomclip --help` loads no torch."""
    with_errors_in_a_line(lambda: import_module(f"geomclip_tools.commands.{module}").main(words, command), command)


def with_errors_in_a_line(function: Callable[[], None], command: Sequence[str]) -> None:
    """Call it.

    Raises:
        SystemExit: 1, after one line, for what a user can cause; 130 after Ctrl-C.
        ValueError, OSError, ImportError: what was caught, if the environment variable GEOMCLIP_TRACEBACK is set.
    """
    try:
        function()
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("GEOMCLIP_TRACEBACK"):
            raise
        message = " ".join(str(error).split())  # those of libraries have several lines
        print(f"{' '.join(command)}: {message}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print(f"{' '.join(command)}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
