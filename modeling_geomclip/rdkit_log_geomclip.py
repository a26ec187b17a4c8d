"""Silence RDKit's log in any number of threads, convert its exceptions, and find its reasons for a failure."""

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .molecule_checks_geomclip import MoleculeError

try:
    from rdkit import Chem, rdBase
except ImportError:  # needed only to read text, where its absence is reported
    Chem = rdBase = None  # noqa: N816

LONGEST_REASON = 120  # characters
PREAMBLE = re.compile(r"^\[\d\d:\d\d:\d\d\]\s*|^(?:SMILES Parse Error|ERROR|Warning): |for input: .*$|^[*-]+$")
ATTEMPTS = 5  # to find a reason; a log that several threads write to at once goes silent until it is set up again
UNTOLD = ("Post-condition Violation", "Pre-condition Violation", "Invariant Violation", "Range Error")

_lock = threading.RLock()
_num_readers = 0
_former: tuple[str, list[logging.Handler], bool]  # enabled logs; handlers and propagation of the Python log


class _Listener(logging.Handler):
    """Keep the messages of threads that ask for them, and drop the rest."""

    def __init__(self):
        super().__init__()
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(self.heard, "messages"):
            self.heard.messages.append(record.getMessage())


_listener = _Listener()


@contextmanager
def silence_rdkit() -> Iterator[None]:
    """Keep RDKit from writing to stderr within the block.

    RDKit has one log per process, and turns it on again whenever a thread embeds a molecule. Its messages therefore go
    to a handler of Python's log from the time the first thread enters the block until the last one leaves it.
    """
    global _num_readers
    with _lock:
        if _num_readers == 0:
            _take_log()
        _num_readers += 1
    try:
        yield
    finally:
        with _lock:
            _num_readers -= 1
            if _num_readers == 0:
                _give_log_back()


def _take_log() -> None:
    global _former
    logger = logging.getLogger("rdkit")
    _former = rdBase.LogStatus(), logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [_listener], False
    _log_to_python()


def _log_to_python() -> None:
    rdBase.LogToPythonLogger()  # this enables all logs
    rdBase.DisableLog("rdApp.debug")
    rdBase.DisableLog("rdApp.info")


def _give_log_back() -> None:
    logger = logging.getLogger("rdkit")
    status, logger.handlers, logger.propagate = _former
    if "ipykernel" in sys.modules:  # RDKit's own choice in a notebook
        rdBase.LogToPythonStderr()
    else:
        rdBase.LogToCppStreams()
    for line in status.split():
        name, _, state = line.partition(":")
        (rdBase.EnableLog if state == "enabled" else rdBase.DisableLog)(name)


@contextmanager
def guard_rdkit() -> Iterator[None]:
    """Silence RDKit within the block, and convert the exceptions it raises for a molecule to a MoleculeError."""
    try:
        with silence_rdkit():
            yield
    except (Chem.MolSanitizeException, RuntimeError) as error:  # RuntimeError: checks within RDKit
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise MoleculeError(f"RDKit rejects its chemistry ({reason})", "correct or drop it") from error


def find_reason(fail: Callable[[], Any]) -> str:
    """Return what RDKit logs in this thread while a call fails, in one line; "" if it logs nothing."""
    messages: list[str] = []
    with silence_rdkit(), _lock:
        for _ in range(ATTEMPTS):
            _listener.heard.messages = messages
            try:
                fail()
            except Exception as error:  # only the log matters
                messages.append(str(error))
            finally:
                del _listener.heard.messages
            if messages:
                break
            _log_to_python()
    return _shorten(messages)


def _shorten(messages: list[str]) -> str:
    """Return the first line with a reason in it."""
    lines = (
        PREAMBLE.sub("", PREAMBLE.sub("", line.strip())).strip() for text in messages for line in text.splitlines()
    )
    told = next((line for line in lines if line and not line.startswith(UNTOLD)), "")
    return told if len(told) <= LONGEST_REASON else f"{told[: LONGEST_REASON - 1]}…"
