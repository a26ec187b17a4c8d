"""RDKit at work: its log silent, in any number of threads, its exceptions ours, its reasons for a failure told."""

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
except ImportError:  # coordinates need no RDKit; whoever reads text says so
    Chem = rdBase = None  # noqa: N816

LONGEST_REASON = 120  # characters
PREAMBLE = re.compile(r"^\[\d\d:\d\d:\d\d\]\s*|^(?:SMILES Parse Error|ERROR|Warning): |for input: .*$|^[*-]+$")
ATTEMPTS = 5  # to be told a reason; a log that several threads write to at once falls silent until it is made anew
UNTOLD = ("Post-condition Violation", "Pre-condition Violation", "Invariant Violation", "Range Error")

_lock = threading.RLock()
_num_readers = 0
_former: tuple[str, list[logging.Handler], bool]  # which logs were on, the handlers of Python's log, its propagation


class _Listener(logging.Handler):
    """Keeps what a thread logs that asks for it, and drops the rest."""

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

    RDKit has one log for the process, and turns it on again by itself while it embeds, in whichever thread. So its
    messages go to a handler of Python's log from when the first of several threads begins to when the last one ends.
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
    rdBase.LogToPythonLogger()  # which turns all on
    rdBase.DisableLog("rdApp.debug")
    rdBase.DisableLog("rdApp.info")


def _give_log_back() -> None:
    logger = logging.getLogger("rdkit")
    status, logger.handlers, logger.propagate = _former
    if "ipykernel" in sys.modules:  # where RDKit itself chooses this
        rdBase.LogToPythonStderr()
    else:
        rdBase.LogToCppStreams()
    for line in status.split():
        name, _, state = line.partition(":")
        (rdBase.EnableLog if state == "enabled" else rdBase.DisableLog)(name)


@contextmanager
def guard_rdkit() -> Iterator[None]:
    """Silence RDKit within the block, and raise a MoleculeError for what it raises of a molecule."""
    try:
        with silence_rdkit():
            yield
    except (Chem.MolSanitizeException, RuntimeError) as error:  # the latter for conditions that RDKit itself violates
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise MoleculeError(f"RDKit refuses its chemistry ({reason})", "correct or drop it") from error


def find_reason(fail: Callable[[], Any]) -> str:
    """What RDKit logs while a call fails, in one line; "" if it logs nothing.

    Of what RDKit logs, the messages of this thread are taken.
    """
    messages: list[str] = []
    with silence_rdkit(), _lock:
        for _ in range(ATTEMPTS):
            _listener.heard.messages = messages
            try:
                fail()
            except Exception as error:  # what is asked for is the log
                messages.append(str(error))
            finally:
                del _listener.heard.messages
            if messages:
                break
            _log_to_python()
    return _shorten(messages)


def _shorten(messages: list[str]) -> str:
    """The first line that says something."""
    lines = (
        PREAMBLE.sub("", PREAMBLE.sub("", line.strip())).strip() for text in messages for line in text.splitlines()
    )
    told = next((line for line in lines if line and not line.startswith(UNTOLD)), "")
    return told if len(told) <= LONGEST_REASON else f"{told[: LONGEST_REASON - 1]}…"
