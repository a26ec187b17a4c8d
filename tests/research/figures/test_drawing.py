"""Files, outlines and views of the figures."""

import numpy as np
import pytest
from drawing import draw_conformer, draw_structure, find_view, parse_outline, save_svg, styled
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from rdkit import Chem


@styled
def draw_page() -> Figure:
    figure = Figure(figsize=(3, 2))
    structure, conformer = figure.subplots(1, 2)
    draw_structure(structure, Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]"))
    points = np.array([[0.0, 0.0, 0.0], [1.2, 0.3, 1.0], [2.0, -0.3, 0.5]])
    draw_conformer(conformer, np.array([6, 8, 1]), points, [(0, 1), (1, 2)], {0: "first"})
    conformer.set_title("a title")
    return figure


def test_a_file_is_the_same_every_time_small_and_opaque_and_its_text_is_text(tmp_path):
    files = [tmp_path / "new folder" / f"{name}.svg" for name in ("first", "second")]
    for file in files:
        save_svg(draw_page(), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    text = files[0].read_text(encoding="utf-8")
    assert len(text) < 20_000
    assert ">a title</text>" in text
    assert "sans-serif" in text
    assert "<dc:date>" not in text
    assert "matplotlib.org" not in text
    assert 'style="fill: #ffffff"' in text.partition("</g>")[0]  # the first patch is the page


def test_coordinates_are_rounded(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.add_axes((0, 0, 1, 1)).plot([0, 1 / 3, 1], [0, 1 / 7, 1])
    save_svg(figure, tmp_path / "line.svg")
    text = (tmp_path / "line.svg").read_text(encoding="utf-8")
    assert 'd="M 3.27 68.73' in text  # 1/22 of 72 pt


def test_outlines_are_those_of_the_svg():
    outline = parse_outline("M 1.5,2 L 3,-4\nQ 5 6, 7 8\nC 1,2 3,4 5,6 Z")
    kinds = [Outline.MOVETO, Outline.LINETO, *[Outline.CURVE3] * 2, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
    assert outline.codes.tolist() == kinds
    assert outline.vertices[:4].tolist() == [[1.5, 2], [3, -4], [5, 6], [7, 8]]


def test_colours_of_a_structure_are_those_of_rdkit():
    axes = Figure().add_subplot()
    draw_structure(axes, Chem.MolFromSmiles("CCO"))
    fills = {patch.get_facecolor() for patch in axes.patches if patch.get_facecolor()[3]}
    strokes = {patch.get_edgecolor() for patch in axes.patches if patch.get_edgecolor()[3]}
    assert fills == {(1, 0, 0, 1)}  # the letters of OH
    assert strokes == {(0, 0, 0, 1), (1, 0, 0, 1)}


@pytest.mark.parametrize("tilt", [0, 0.5])
def test_a_view_is_a_rotation_with_the_longest_axis_as_x(tilt):
    positions = np.random.default_rng(0).normal(size=(20, 3)) * (1, 5, 2)
    view = find_view(positions, tilt)
    np.testing.assert_allclose(view.T @ view, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)
    spread = (positions @ view).std(axis=0)
    assert spread[0] == spread.max()
    assert spread[1] < spread[0]


def test_a_view_depends_on_the_molecule_alone():
    positions = np.random.default_rng(1).normal(size=(12, 3)) * (3, 1, 2)
    moved = positions + 5
    np.testing.assert_allclose(find_view(moved), find_view(positions), atol=1e-9)
