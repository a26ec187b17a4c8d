import pytest

from dataset_pubchem3d.quality.examine import DISTANCE_FAULT
from dataset_pubchem3d.quality.page import write_page


@pytest.fixture
def page(tmp_path, sound, row, clashing, write, measure):
    write("default", train=[clashing, row("CC(C)CO", "One."), row("CCO", "Two.")])
    write_page(tmp_path / "page.md", measure(sound, sample=9), [tmp_path / "plots" / "drawn.png"])
    return (tmp_path / "page.md").read_text(encoding="utf-8")


def test_faults_are_shown_with_their_rows(page):
    assert f"| default | {DISTANCE_FAULT} | 1 | default/train-00000-of-00001.parquet row 0, " in page


def test_each_figure_is_in_one_row_of_its_section(page):
    told = {part.splitlines()[0]: part for part in page.split("\n## ")}
    assert "|  | default | captioning | qm9 |" in told["Figures"]
    for section, line in {
        "Figures": "| rows | 5 | 2 | 3 |",
        "Shared between splits": "| first_blocks: train, validation | 0 |  |  |",
        "Distributions": "| heavy atoms: max | 7 | 3 | 3 |",
        "Rows by value": "| elements: C | 5 | 2 | 3 |",
    }.items():
        assert line in told[section]
        assert page.count(line) == 1


def test_failed_comparisons_are_listed(page):
    assert "| not compared: it has fewer than 4 heavy atoms | 4 |" in page


def test_plots_are_linked_by_relative_path(page):
    assert page.endswith("## Plots\n\n![drawn](plots/drawn.png)\n")
