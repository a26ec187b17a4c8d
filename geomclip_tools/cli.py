"""The command `geomclip`."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

COMMANDS = {
    "build": "build the PubChem3D dataset, or a dataset from your own table",
    "train": "pre-train a GeomCLIP or a geometry tower, or fine-tune a captioner or a property predictor",
    "evaluate": "evaluate retrieval, word queries, denoising, invariance, captioning or property prediction",
    "study": "compare training variants over several seeds, freeze a choice and test it once",
    "embed": "write embeddings of molecules or texts to a file",
    "index": "make and keep an index of your library of molecules",
    "search": "find molecules of an index by words or by molecules",
    "app": "search an index and look at its molecules in a browser",
    "caption": "write captions of molecules to a file",
    "predict": "write predicted properties of molecules to a file",
    "convert": "convert a Uni-Mol checkpoint to a geometry tower, or back",
    "card": "write the model card of a checkpoint",
    "publish": "check a dataset or a checkpoint, and upload it to the Hugging Face Hub",
}
EVALUATIONS = ("retrieval", "word_queries", "denoising", "invariance", "captioning", "property_prediction")
EXAMPLE = "geomclip embed --model release/geomclip-mini --molecules molecules.csv --output embeddings.npz"
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        argv: arguments after `geomclip`; those of the process if None.
    Raises:
        SystemExit: after help, if there is no such command, or as `with_errors_in_a_line`.
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
    """Return the help text of `geomclip`."""
    lines = [f"usage: {EXAMPLE}", "", "       geomclip COMMAND [--flag value ...]", "", "commands:"]
    lines += [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    lines += ["", "`geomclip COMMAND --help` shows an example and lists the flags."]
    lines += ["Set the environment variable GEOMCLIP_TRACEBACK=1 to show the traceback of an error."]
    return "\n".join(lines)


def run_evaluation(words: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate")) -> None:
    """Run `geomclip evaluate TASK ...`.

    Raises:
        SystemExit: after help, if there is no such task, or as `with_errors_in_a_line`.
    """
    if not words or words[0] not in EVALUATIONS:
        prog = " ".join(command)
        example = f"{prog} retrieval --model geomclip --dataset pubchem3d --split test --output results/retrieval.json"
        print(f"usage: {example}\n\n       {prog} {{{','.join(EVALUATIONS)}}} [--flag value ...]")
        if words and words[0] in HELP:
            raise SystemExit(0)
        fault = f"there is no task {words[0]!r}" if words else "the task is missing"
        raise SystemExit(f"{prog}: {fault}; choose one of {', '.join(EVALUATIONS)}")
    run_command(f"evaluate_{words[0]}", words[1:], (*command, words[0]))


def run_command(module: str, words: Sequence[str], command: Sequence[str]) -> None:
    """Import a module of `commands` and run its `main`. Importing it late keeps `geomclip --help` free of torch."""
    with_errors_in_a_line(lambda: import_module(f"geomclip_tools.commands.{module}").main(words, command), command)


def with_errors_in_a_line(function: Callable[[], None], command: Sequence[str]) -> None:
    """Call a function, and print an error that a user can cause in one line.

    Raises:
        SystemExit: 1 after an error, 130 after Ctrl-C.
        ValueError, OSError, ImportError: the error itself, if the environment variable GEOMCLIP_TRACEBACK is set.
    """
    try:
        function()
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("GEOMCLIP_TRACEBACK"):
            raise
        message = " ".join(str(error).split())  # errors of libraries may have several lines
        print(f"{' '.join(command)}: {message}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print(f"{' '.join(command)}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
