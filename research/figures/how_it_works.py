"""Draw the pictures of docs/how-it-works.md: the path of aspirin from its SMILES to the losses.

    python research/figures/how_it_works.py

All values come from the checkpoint and its processor.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawing import COLOURS, INK, WIDTH, draw_conformer, draw_structure, find_view, save_svg, styled
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from rdkit import Chem

from geomclip_tools.loading import load_geomclip
from geomclip_tools.noise import draw_noise
from modeling_geomclip import embed_molecules, embed_texts
from modeling_geomclip.geometry_geomclip import centre_positions, pair_distances
from modeling_geomclip.molecules_geomclip import read_molecule

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
PAIR = (6, 8)  # atomic numbers of the pair whose Gaussians are shown
HEADS = (20, 13)  # of geomclip-mini, with clear patterns
NOISE_SEED = 52
PAIRS = {  # the molecules of the README and one more, with texts that fit them
    "an alkaloid of tobacco": "CN1CCCC1c1cccnc1",
    "an ester of salicylic acid": ASPIRIN,
    "a fatty acid": "CCCCCCCCCCCCCCCC(=O)O",
    "a sugar": "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
}
NAMES = ("nicotine", "aspirin", "palmitic acid", "glucose")


@dataclass(frozen=True)
class Example:
    """One molecule as the processor reads it.

    Args:
        numbers: atomic numbers (atoms,), hydrogens last.
        positions: (atoms, 3), Å.
        bonds: pairs of atoms.
        batch: inputs of the geometry tower, a batch of one without hydrogens.
        symbols: symbol of each row of the batch.
    """

    numbers: np.ndarray
    positions: np.ndarray
    bonds: list[tuple[int, int]]
    batch: dict[str, torch.Tensor]
    symbols: list[str]

    @property
    def num_heavy(self) -> int:
        return int((self.numbers > 1).sum())


def read_example(smiles: str, extractor: Any) -> Example:
    """Read a molecule with the seed of a feature extractor.

    Raises:
        ValueError: the atoms of the conformer are not in the order of the canonical SMILES.
    """
    record = read_molecule(smiles, seed=extractor.conformer_seed)
    mol = Chem.AddHs(Chem.MolFromSmiles(Chem.CanonSmiles(smiles)))  # as conformers are made
    numbers = record["atomic_numbers"]
    if [atom.GetAtomicNum() for atom in mol.GetAtoms()] != numbers.tolist():
        raise ValueError(f"the conformer of {smiles} has its atoms in another order than its canonical SMILES")
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    heavy = [atom.GetSymbol() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    symbols = ["[CLS]", *(f"{symbol} {number}" for number, symbol in enumerate(heavy, start=1)), "[SEP]"]
    return Example(numbers, record["positions"], bonds, {**extractor([smiles], return_tensors="pt")}, symbols)


# ----------------------------------------------------------------------------------- steps 1 to 5: conformer, distances


@styled
def draw_molecule(example: Example) -> Figure:
    """Draw the SMILES, the conformer and the matrix of pair distances."""
    figure = Figure(figsize=(WIDTH, 2.7))
    structure = figure.add_axes((0.005, 0.13, 0.22, 0.76))
    conformer = figure.add_axes((0.25, 0.13, 0.28, 0.76))
    matrix = figure.add_axes((0.62, 0.14, 0.283, 0.755))
    bar = figure.add_axes((0.922, 0.14, 0.013, 0.755))
    draw_structure(structure, Chem.MolFromSmiles(ASPIRIN), (150, 170), 26)
    points = (example.positions - example.positions.mean(axis=0)) @ find_view(example.positions)
    labels = {atom: str(atom + 1) for atom in range(example.num_heavy)}
    draw_conformer(conformer, example.numbers, points, example.bonds, labels)
    distances = pair_distances(example.batch["positions"])[0].numpy()
    figure.colorbar(draw_matrix(matrix, distances, example, cmap="viridis_r"), cax=bar, label="Å")
    titles = {structure: "SMILES", conformer: "Conformer", matrix: "Pair distances"}
    for axes, title in titles.items():
        box = axes.get_position(original=True)
        figure.text((box.x0 + box.x1) / 2, 0.93, title, ha="center", fontsize=9)
    for left, right in ((structure, conformer), (conformer, matrix)):
        middle = (left.get_position(original=True).x1 + right.get_position(original=True).x0) / 2
        middle -= 0.03 if right is matrix else 0.0  # its labels are on the left
        ends = ((middle - 0.016, 0.51), (middle + 0.016, 0.51))
        figure.add_artist(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=11, color=INK, shrinkA=0, shrinkB=0))
    figure.text(0.115, 0.13, ASPIRIN, ha="center", fontsize=7, color=INK)
    return figure


def draw_matrix(axes: Axes, values: np.ndarray, example: Example, **settings: Any) -> Any:
    """Draw a matrix of pairs of rows with the symbols of the molecule."""
    image = axes.imshow(values, interpolation="none", **settings)
    axes.set_xticks(range(len(values)), example.symbols, rotation=90, fontsize=6)
    axes.set_yticks(range(len(values)), example.symbols, fontsize=6)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    return image


# ------------------------------------------------------------------------------------ step 6: Gaussians, attention bias


@dataclass(frozen=True)
class Basis:
    """The Gaussian basis of one pair of elements, and the attention biases of all heads.

    Args:
        distances: (points,), Å.
        densities: (points, gaussians), for `PAIR`.
        curves: (points, heads), the biases that the densities give.
        biases: (heads, rows, rows), for the molecule.
        found: distances between the elements of `PAIR` in the molecule, Å.
    """

    distances: np.ndarray
    densities: np.ndarray
    curves: np.ndarray
    biases: np.ndarray
    found: np.ndarray


@torch.no_grad()
def compute_basis(tower: Any, example: Example, numbers: tuple[int, int] = PAIR, longest: float = 6.0) -> Basis:
    """Evaluate the pair basis of a geometry tower over distances from 0 to `longest` Å, and for a molecule."""
    ids = example.batch["atom_ids"]
    heavy = example.numbers[: example.num_heavy]
    first, second = (int(np.flatnonzero(heavy == number)[0]) + 1 for number in numbers)  # rows: [CLS] is the first
    distances = torch.linspace(0, longest, 301)
    points = torch.zeros(len(distances), 2, 3)
    points[:, 1, 0] = distances
    pairs = ids[0, [first, second]].expand(len(distances), 2)
    densities = tower.pair_basis(pairs, points)
    curves = tower.compute_pair_bias(pairs, densities)[:, :, 0, 1]
    biases = tower.compute_pair_bias(ids, tower.pair_basis(ids, example.batch["positions"]))[0]
    all_distances = pair_distances(example.batch["positions"])[0, 1:-1, 1:-1].numpy()
    found = all_distances[np.ix_(heavy == numbers[0], heavy == numbers[1])].ravel()
    return Basis(distances.numpy(), densities[:, 0, 1].numpy(), curves.numpy(), biases.numpy(), found)


@styled
def draw_basis(basis: Basis, example: Example, heads: tuple[int, int] = HEADS) -> Figure:
    """Draw the densities and the biases over distance, and the bias matrices of two heads."""
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    (densities, curves), matrices = figure.subplots(2, 2, height_ratios=(1, 1.45))
    sharpest = basis.densities.max(axis=0)
    for values in basis.densities.T[np.argsort(sharpest)]:
        densities.plot(basis.distances, values, color=COLOURS[0], linewidth=0.7, alpha=0.55)
    densities.set(ylabel="density", title=f"{basis.densities.shape[1]} Gaussian functions, C to O")
    densities.set_ylim(0, 2.2)
    limit = np.abs(basis.biases[list(heads)]).max()
    for head, colour in zip(heads, COLOURS[1:]):
        curves.plot(basis.distances, basis.curves[:, head], color=colour, label=f"head {head + 1}")
    curves.axhline(0, color=INK, linewidth=0.6)
    curves.set(ylabel="bias", title="Attention bias, C to O")
    curves.legend()
    for axes in (densities, curves):
        axes.set(xlabel="distance (Å)", xlim=(0, basis.distances[-1]))
        axes.plot(
            basis.found,
            np.zeros_like(basis.found),
            "|",
            color=INK,
            markersize=7,
            clip_on=False,
            transform=axes.get_xaxis_transform(),
        )
    for axes, head in zip(matrices, heads):
        image = draw_matrix(axes, basis.biases[head], example, cmap="RdBu_r", norm=TwoSlopeNorm(0, -limit, limit))
        axes.set_title(f"Attention bias of head {head + 1}")
    figure.colorbar(image, ax=list(matrices), label="bias", shrink=0.8, ticks=range(-10, 11, 5))
    return figure


# ----------------------------------------------------------------------------------------------------- contrastive loss


def compute_similarities(model: Any, processor: Any) -> np.ndarray:
    """Return the cosine similarities (texts, molecules) of `PAIRS`."""
    texts, molecules = embed_texts(model, processor, [*PAIRS]), embed_molecules(model, processor, [*PAIRS.values()])
    return (texts @ molecules.T).numpy()


@styled
def draw_similarities(cosines: np.ndarray) -> Figure:
    """Draw the matrix of cosine similarities, with molecules above it, and outline the targets."""
    size = len(cosines)
    figure = Figure(figsize=(WIDTH * 0.86, 3.5))
    left, right, top, bottom = 0.27, 0.87, 0.65, 0.03
    grid = figure.add_axes((left, bottom, right - left, top - bottom))
    image = grid.imshow(cosines, interpolation="none", cmap="Blues", norm=Normalize(0, 0.8), aspect="auto")
    grid.set(xticks=[])
    grid.set_yticks(range(size), [*PAIRS])
    grid.tick_params(length=0)
    grid.spines[:].set_visible(False)
    for row, column in np.ndindex(size, size):
        value = cosines[row, column]
        colour = "white" if value > 0.5 else INK
        grid.text(column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center", color=colour)
    width = (right - left) / size
    for place, (smiles, name) in enumerate(zip(PAIRS.values(), NAMES)):
        grid.add_patch(Rectangle((place - 0.46, place - 0.44), 0.92, 0.88, fill=False, edgecolor=COLOURS[1], lw=2))
        axes = figure.add_axes((left + place * width + 0.004, top + 0.08, width - 0.008, 0.26))
        draw_structure(axes, Chem.MolFromSmiles(smiles), (110, 105), 18)
        figure.text(left + (place + 0.5) * width, top + 0.025, name, ha="center", color=INK)
    bar = figure.colorbar(image, cax=figure.add_axes((right + 0.03, bottom, 0.02, top - bottom)))
    bar.set_label("cosine similarity")
    return figure


# ------------------------------------------------------------------------------------------------------- denoising loss


def add_noise(example: Example, config: Any, seed: int = NOISE_SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise a molecule as pre-training does.

    Returns:
        clean positions (heavy atoms, 3), noised positions (heavy atoms, 3), both relative to the centroid of the noised
        molecule, Å, and the chosen atoms.
    """
    batch = example.batch
    noise = draw_noise(batch["atom_ids"], batch["positions"], batch["atom_mask"], torch.tensor([seed]), config)
    noised = centre_positions(noise["noised_positions"], batch["atom_mask"])
    shift = noised - noise["noised_positions"]
    clean, noised = ((batch["positions"] + shift)[0, 1:-1].numpy(), noised[0, 1:-1].numpy())
    return clean, noised, noise["chosen"][0, 1:-1].nonzero().squeeze(-1).numpy()


@styled
def draw_noising(example: Example, clean: np.ndarray, noised: np.ndarray, chosen: np.ndarray) -> Figure:
    """Draw a clean molecule, and the noised one with arrows from its chosen atoms to their targets."""
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    numbers = example.numbers[: example.num_heavy]
    bonds = [bond for bond in example.bonds if max(bond) < example.num_heavy]
    view = find_view(example.positions)
    clean, noised = clean @ view, noised @ view
    symbols = {atom: Chem.GetPeriodicTable().GetElementSymbol(int(number)) for atom, number in enumerate(numbers)}
    draw_conformer(panels[0], numbers, clean, bonds, symbols)
    masked = dict.fromkeys(chosen.tolist(), "?")
    draw_conformer(panels[1], numbers, noised, bonds, symbols | masked, dict.fromkeys(masked, "#222222"))
    ring = {"radius": 0.41, "facecolor": "none", "edgecolor": COLOURS[1], "linewidth": 1.4, "zorder": 4}
    arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "color": COLOURS[1], "linewidth": 1.4, "zorder": 5}
    for atom in chosen:
        start, end = noised[atom, :2], clean[atom, :2]
        panels[0].add_patch(Circle(end, **ring))
        panels[1].add_patch(Circle(start, **ring))
        panels[1].add_patch(Circle(end, **ring | {"linestyle": "--", "linewidth": 1.0}))
        start = start + 0.36 * (end - start) / np.linalg.norm(end - start)
        panels[1].add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **arrow))
    both = np.concatenate([clean, noised])[:, :2]
    low, high = both.min(axis=0) - 0.6, both.max(axis=0) + 0.6
    panels[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title="Clean molecule: the target")
    panels[1].set_title("Noised molecule: the input")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="release/geomclip-mini", help="checkpoint folder or Hub id")
    parser.add_argument("--output_dir", type=Path, default=Path("docs/images"), help="folder for the SVG files")
    args = parser.parse_args()
    model, processor = load_geomclip(args.model)
    model = model.cpu()
    example = read_example(ASPIRIN, processor.feature_extractor)
    figures = {
        "molecule.svg": draw_molecule(example),
        "pair_bias.svg": draw_basis(compute_basis(model.geometry_model, example), example),
        "similarities.svg": draw_similarities(compute_similarities(model, processor)),
        "denoising.svg": draw_noising(example, *add_noise(example, model.config.geometry_config)),
    }
    for name, figure in figures.items():
        save_svg(figure, args.output_dir / name)


if __name__ == "__main__":
    main()
