"""Style, files and molecules of the figures."""

import re
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path as Outline
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; viewers without it use their own sans-serif font
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.facecolor": "white",  # opaque, for pages with a dark background
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "geomclip",
}
styled = rc_context(STYLE)  # decorator of every function that draws
COLOURS = ("#00796b", "#d55e00", "#0072b2", "#cc79a7", "#e69f00", "#56b4e9", "#555555")  # Okabe and Ito, mostly
WIDTH = 7.2  # inches; as wide as the text of a page
INK = "#333333"
ELEMENT_COLOURS = {1: "#d0d0d0", 6: "#555555", 7: "#2b62c4", 8: "#d62728"}
OTHER_ELEMENT = "#8c6bb1"
RADII = {1: 0.2}  # Å; 0.34 for heavy atoms
LONG_NUMBER = re.compile(r"\d+\.\d{3,}")


@styled
def save_svg(figure: Figure, file: Path) -> None:
    """Write a figure as SVG, without dates and versions, with coordinates rounded to 0.01 pt to keep it small."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LONG_NUMBER.sub(_round, buffer.getvalue()), encoding="utf-8")


def _round(number: re.Match) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def hide_frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)


# ------------------------------------------------------------------------------------------------------------ drawings


def draw_structure(axes: Axes, mol: Chem.Mol, size: tuple[int, int] = (200, 150), bond_length: float = 24) -> None:
    """Draw RDKit's drawing of a molecule into axes.

    Args:
        axes: their frame is hidden; they should have the proportions of `size`.
        mol: molecule.
        size: width and height of the drawing.
        bond_length: length of a bond in the same unit; large molecules are drawn smaller.
    """
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    options = drawer.drawOptions()
    options.clearBackground = False
    options.fixedBondLength = bond_length
    options.padding = 0.02
    options.minFontSize = 8
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    outlines = {}  # by colours; one outline for many lines keeps the file small
    for element in ElementTree.fromstring(drawer.GetDrawingText().encode("iso-8859-1")).iter():
        if element.tag.endswith("path"):
            outlines.setdefault(_read_colours(element), []).append(parse_outline(element.attrib["d"]))
    for (fill, stroke), parts in outlines.items():
        outline = Outline.make_compound_path(*parts)
        patch = {"facecolor": fill, "edgecolor": stroke, "linewidth": 0.2 if fill != "none" else 1.0}
        axes.add_patch(PathPatch(outline, **patch, capstyle="round", joinstyle="round", clip_on=False))
    hide_frame(axes)
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))


def _read_colours(element: ElementTree.Element) -> tuple[str, str]:
    """Return the fill and the stroke of a path that RDKit drew."""
    style = dict(part.split(":") for part in element.get("style", "").split(";") if part)
    fill = element.get("fill") or style.get("fill", "none")
    stroke = style.get("stroke", "none") if fill == "none" else "none"
    return fill, stroke


def parse_outline(data: str) -> Outline:
    """Convert the `d` of an SVG path with absolute M, L, Q, C and Z to a matplotlib path."""
    vertices, codes = [], []
    kinds = {"M": Outline.MOVETO, "L": Outline.LINETO, "Q": Outline.CURVE3, "C": Outline.CURVE4}
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", data):
        if command in "Zz":
            vertices.append((0.0, 0.0))
            codes.append(Outline.CLOSEPOLY)
        else:
            points = np.array(re.split(r"[\s,]+", numbers.strip()), dtype=float).reshape(-1, 2)
            vertices.extend(points)
            codes += [kinds[command]] * len(points)
    return Outline(np.array(vertices), codes)


# ---------------------------------------------------------------------------------------------------------- conformers


def find_view(positions: np.ndarray, tilt: float = 0.5) -> np.ndarray:
    """Return the rotation (3, 3) that shows the longest axis of a molecule as x, tilted around it.

    Args:
        positions: (atoms, 3).
        tilt: angle between the plane of the two longest axes and the picture, in radians.
    """
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    axes = axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None]  # else the signs are arbitrary
    axes[2] = np.cross(axes[0], axes[1])
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return (turn @ axes).T


def draw_conformer(
    axes: Axes,
    numbers: np.ndarray,
    points: np.ndarray,
    bonds: list[tuple[int, int]],
    labels: dict[int, str],
    colours: dict[int, str] | None = None,
    alpha: float = 1.0,
) -> None:
    """Draw atoms as discs and bonds as lines; atoms that are farther away are paler.

    Args:
        axes: their frame is hidden.
        numbers: atomic numbers (atoms,).
        points: (atoms, 3), Å; the third column is the depth, and larger is nearer.
        bonds: pairs of atoms.
        labels: text on an atom, by atom.
        colours: colour of an atom, by atom, if it is not that of its element.
        alpha: opacity of everything.
    """
    depth = points[:, 2]
    nearness = (depth - depth.min()) / (np.ptp(depth) or 1.0)
    order = 2 + nearness  # of drawing
    for start, end in bonds:
        colour = _fade("#9a9a9a", (nearness[start] + nearness[end]) / 2)
        line = points[[start, end], :2].T
        axes.plot(*line, color=colour, linewidth=2.2, zorder=min(order[start], order[end]) - 0.01, alpha=alpha)
    for atom, (number, point) in enumerate(zip(numbers.tolist(), points)):
        colour = (colours or {}).get(atom) or ELEMENT_COLOURS.get(number, OTHER_ELEMENT)
        disc = {"facecolor": _fade(colour, nearness[atom]), "edgecolor": "white", "linewidth": 0.7}
        axes.add_patch(Circle(point[:2], RADII.get(number, 0.34), **disc, zorder=order[atom], alpha=alpha))
        if atom in labels:
            text = {"ha": "center", "va": "center_baseline", "color": "white", "fontsize": 6.5}
            axes.text(*point[:2], labels[atom], **text, zorder=order[atom])
    hide_frame(axes)
    low, high = points[:, :2].min(axis=0) - 0.5, points[:, :2].max(axis=0) + 0.5
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _fade(colour: str, nearness: float) -> tuple[float, ...]:
    return tuple(1 - (1 - part) * (0.6 + 0.4 * nearness) for part in to_rgb(colour))
