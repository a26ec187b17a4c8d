"""Flags and output that the evaluations share."""

import pytest

from geomclip_tools.commands.evaluation_settings import ConformerSettings, print_failures


@pytest.mark.parametrize(
    ("coordinates", "number", "rule"),
    [("xyz", 1, "--coordinates is 'xyz'"), ("rdkit", 0, "--num_conformers is 0; it must be at least 1")],
)
def test_what_makes_no_sense_is_refused(coordinates, number, rule):
    with pytest.raises(ValueError, match=rule):
        ConformerSettings(coordinates=coordinates, num_conformers=number)


def test_failures_are_counted_by_reason(capsys):
    print_failures([{"row": 1, "reason": "a"}, {"row": 2, "reason": "b"}, {"row": 3, "reason": "b"}])
    assert capsys.readouterr().out.splitlines() == ["not evaluated: 2 molecules: b", "not evaluated: 1 molecule: a"]
