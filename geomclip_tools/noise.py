"""The noise of the denoising objective."""

import numpy as np
import torch
from torch import Tensor

from modeling_geomclip import GeomCLIPGeometryConfig

GEOMETRY = ("atom_ids", "positions", "atom_mask")  # keys of a batch, in the argument order of `draw_noise`


def draw_noise(
    atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, seeds: Tensor, config: GeomCLIPGeometryConfig
) -> dict[str, Tensor]:
    """Mask and displace some atoms of every molecule with at least three atoms.

    The noise of a molecule depends only on its seed and its number of atoms, not on the rest of the batch, padding,
    device or process.

    Source: GeomCLIP, section "denoising" (Gaussian noise, 15 % of the atoms), and Uni-Mol (uniform noise, kept and
    random symbols).

    Args:
        atom_ids: (batch, atoms) int64.
        positions: (batch, atoms, 3), Å.
        atom_mask: (batch, atoms) bool, True on atoms.
        seeds: (batch,) int64.
        config: sets the noise by `mask_ratio`, `mask_keep_ratio`, `mask_random_ratio`, `position_noise` and
            `position_noise_scale`.
    Returns:
        `noised_atom_ids` (batch, atoms) int64, `noised_positions` (batch, atoms, 3), Å, and `chosen` (batch, atoms)
        bool, for [`GeomCLIPGeometryForPreTraining`].
    """
    noised_ids, noised_positions, chosen = atom_ids.clone(), positions.clone(), torch.zeros_like(atom_mask)
    for row, seed in enumerate(seeds.tolist()):
        atoms = atom_mask[row].nonzero().squeeze(-1)
        if len(atoms) < 3:
            continue
        picked, symbols, shifts = draw_molecule_noise(len(atoms), seed, config)
        atoms = atoms[torch.from_numpy(picked).to(atoms.device)]
        symbols, shifts = torch.from_numpy(symbols).to(atom_ids), torch.from_numpy(shifts).to(positions)
        noised_ids[row, atoms] = torch.where(symbols < 0, atom_ids[row, atoms], symbols)
        noised_positions[row, atoms] += shifts
        chosen[row, atoms] = True
    return {"noised_atom_ids": noised_ids, "noised_positions": noised_positions, "chosen": chosen}


def draw_molecule_noise(
    num_atoms: int, seed: int, config: GeomCLIPGeometryConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the noise of one molecule.

    Returns:
        the chosen atoms (chosen,), their new symbols (chosen,), -1 to keep a symbol, and their displacements
        (chosen, 3), Å.
    """
    random = np.random.default_rng(seed % 2**64)
    num_chosen = max(1, int(config.mask_ratio * num_atoms + random.random()))
    picked = random.permutation(num_atoms)[:num_chosen]
    fate = random.random(num_chosen)
    elements = random.integers(config.unk_token_id + 1, config.mask_token_id, num_chosen)
    symbols = np.full(num_chosen, config.mask_token_id)
    symbols = np.where(fate < config.mask_keep_ratio + config.mask_random_ratio, elements, symbols)
    symbols = np.where(fate < config.mask_keep_ratio, -1, symbols)
    if config.position_noise == "gaussian":
        shifts = random.normal(0.0, config.position_noise_scale, (num_chosen, 3))
    else:
        shifts = random.uniform(-config.position_noise_scale, config.position_noise_scale, (num_chosen, 3))
    return picked, symbols, shifts


def draw_seed(seed: int, draw: int, row: int) -> int:
    """Return a 63-bit seed that depends only on the arguments, so that all models and batches get the same noise."""
    return int(np.random.SeedSequence([seed, draw, row]).generate_state(1, np.uint64)[0] >> 1)
