"""Collate rows with molecules and texts into batches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dataset_pubchem3d.pairs import find_first_block, get_molecule_input
from modeling_geomclip import GeomCLIPGeometryConfig

from ..noise import GEOMETRY, draw_noise
from .identity import hash_id


class GeomCLIPDataCollator:
    """Data collator for training a GeomCLIP with `transformers.Trainer` or a `DataLoader`.

        collator = GeomCLIPDataCollator(processor)
        arguments = TrainingArguments("runs/mine", remove_unused_columns=False, eval_strategy="epoch")
        Trainer(model, arguments, data_collator=collator, train_dataset=rows, eval_dataset=validation).train()

    Pass `remove_unused_columns=False`, or the trainer removes the columns that the collator reads. Pass
    `dataloader_drop_last=True` to drop an incomplete last batch. Every batch has `molecule_ids` and `text_ids`, so rows
    with the same molecule or text are not negatives of each other.

    Args:
        processor: a [`GeomCLIPProcessor`].
        noise_config: the geometry configuration of a [`GeomCLIPForPreTraining`], to add noised geometries for the
            denoising loss. Seeds are drawn from torch's global generator, so `eval_loss` varies between evaluations.
    """

    def __init__(self, processor: Any, noise_config: GeomCLIPGeometryConfig | None = None):
        self.processor, self.noise_config = processor, noise_config

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate rows into a batch.

        Args:
            rows: each with `text` and a molecule: `atomic_numbers` and `positions` (Å), or `smiles`.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: a text is missing.
        """
        molecules, texts = [get_molecule_input(row) for row in rows], [row["text"] for row in rows]
        batch = dict(self.processor(molecules, text=texts, return_tensors="pt")) | identify_pairs(rows)
        if self.noise_config is not None:
            seeds = torch.randint(2**63 - 1, (len(rows),))
            geometry = (batch[name] for name in GEOMETRY)
            batch |= draw_noise(*geometry, seeds, self.noise_config)
        return batch


def identify_pairs(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Return `molecule_ids` and `text_ids`, (rows,) int64, for `contrastive_loss`."""
    return {
        "molecule_ids": torch.tensor([hash_id(find_first_block(row)) for row in rows]),
        "text_ids": torch.tensor([hash_id(row["text"]) for row in rows]),
    }
