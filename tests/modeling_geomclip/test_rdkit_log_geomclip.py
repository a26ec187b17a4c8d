"""RDKit's log is silent in one thread and in many, as measured at the file descriptor of stderr (capfd)."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from rdkit import Chem, RDLogger, rdBase

from modeling_geomclip import GeomCLIPFeatureExtractor, MoleculeError
from modeling_geomclip.molecules_geomclip import read_molecule
from modeling_geomclip.rdkit_log_geomclip import find_reason, guard_rdkit, silence_rdkit

BROKEN_MOL = "name\n  program\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"
REASONS = {  # the beginning of each reason
    "C1CC": "unclosed ring",
    "CC)": "extra close parentheses",
    "[C": "syntax error",
    "C(C)(C)(C)(C)C": "Explicit valence",
    "c1cccc1": "Can't kekulize mol",
    BROKEN_MOL: "Atom line too short",
}


def log_an_error() -> None:
    Chem.MolFromSmiles("C1CC")


@pytest.fixture(autouse=True)
def former_log() -> Iterator[None]:
    """Check that each test restores the handlers of the log, and restore its levels."""
    before = rdBase.LogStatus()
    logger = logging.getLogger("rdkit")
    handlers, propagate = logger.handlers, logger.propagate
    yield
    for line in before.split():
        name, _, state = line.partition(":")
        (RDLogger.EnableLog if state == "enabled" else RDLogger.DisableLog)(name)
    assert (logger.handlers, logger.propagate) == (handlers, propagate)


def test_the_log_is_silent_within_the_block_and_works_again_after_it(capfd):
    log_an_error()
    assert "unclosed ring" in capfd.readouterr().err
    with silence_rdkit():
        log_an_error()
        with silence_rdkit():
            log_an_error()
        log_an_error()
    assert capfd.readouterr() == ("", "")
    log_an_error()
    assert "unclosed ring" in capfd.readouterr().err


def test_an_exception_ends_the_silence(capfd):
    with pytest.raises(KeyError), silence_rdkit():
        raise KeyError
    log_an_error()
    assert "unclosed ring" in capfd.readouterr().err


def test_a_log_that_the_user_turned_off_stays_off(capfd):
    RDLogger.DisableLog("rdApp.error")
    before = rdBase.LogStatus()
    with silence_rdkit():
        assert find_reason(log_an_error) == "unclosed ring"
    assert find_reason(log_an_error) == "unclosed ring"
    log_an_error()
    assert rdBase.LogStatus() == before
    assert capfd.readouterr() == ("", "")


def test_embedding_does_not_end_the_silence_of_other_threads(capfd):
    """RDKit turns its log on while it embeds, for all threads of the process."""
    smiles = ["CCO", *["C1CC"] * 5] * 60

    def read(text: str) -> bool:
        try:
            return len(read_molecule(text)["positions"]) > 0
        except MoleculeError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, smiles)) == 60
    assert capfd.readouterr() == ("", "")


def test_many_threads_are_silent_and_find_their_own_reasons(capfd):
    texts = list(REASONS) * 60
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        records, failures = GeomCLIPFeatureExtractor().read([*texts, "CCO"], errors="report")
    finally:
        torch.set_num_threads(num_threads)
    assert len(records) == 1
    assert [failure["index"] for failure in failures] == list(range(len(texts)))
    for text, failure in zip(texts, failures):
        assert f"({REASONS[text]}" in failure["reason"]
    assert capfd.readouterr() == ("", "")
    log_an_error()
    assert "unclosed ring" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (lambda: Chem.MolFromSmiles("C1CC"), "unclosed ring"),
        (lambda: Chem.MolFromSmiles("CC)"), "extra close parentheses while parsing: CC)"),
        (lambda: Chem.MolFromMolBlock(BROKEN_MOL), "Atom line too short"),
        (lambda: Chem.SanitizeMol(Chem.MolFromSmiles("c1cccc1", sanitize=False)), "Can't kekulize mol"),
        (lambda: Chem.MolFromSmiles("CCO"), ""),
        (lambda: [][0], "list index out of range"),
    ],
)
def test_the_reason_is_the_first_that_rdkit_logs_or_raises(fail, reason, capfd):
    found = find_reason(fail)
    assert found.startswith(reason)
    assert (found == "") == (reason == "")
    assert "\n" not in found
    assert len(found) <= 120
    assert capfd.readouterr() == ("", "")


def test_a_long_reason_is_cut():
    def fail() -> None:
        raise ValueError("long " * 100)

    assert len(find_reason(fail)) == 120
    assert find_reason(fail).endswith("…")


def test_the_python_log_gets_no_messages_and_keeps_its_handlers(caplog):
    logger = logging.getLogger("rdkit")
    former = logger.handlers, logger.propagate
    with caplog.at_level(logging.DEBUG):
        logger.propagate = True
        try:
            assert find_reason(log_an_error) == "unclosed ring"
            assert logger.propagate
        finally:
            logger.propagate = former[1]
    assert logger.handlers is former[0]
    assert caplog.records == []


def test_only_exceptions_of_rdkit_become_molecule_errors():
    told = r"RDKit rejects its chemistry \(Explicit valence.*\); correct or drop it"
    with pytest.raises(MoleculeError, match=told), guard_rdkit():
        Chem.SanitizeMol(Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False))
    with pytest.raises(MoleculeError, match="RDKit rejects its chemistry"), guard_rdkit():
        Chem.Atom(6).GetTotalNumHs()  # an atom without a molecule violates a condition within RDKit
    with pytest.raises(ZeroDivisionError), guard_rdkit():
        1 / 0  # noqa: B018
    with pytest.raises(MoleculeError, match=r"^rule$"), guard_rdkit():
        raise MoleculeError("rule")
