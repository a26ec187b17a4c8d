"""Rows of molecules and texts to a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dataset_pubchem3d.pairs import find_first_block, get_molecule_input
from modeling_geomclip import GeomCLIPGeometryConfig

from ..noise import GEOMETRY, draw_noise
from .identity import hash_id


class GeomCLIPDataCollator:
    """Rows of a dataset to a batch of a GeomCLIP, for `transformers.Trainer` or a `DataLoader`.

        collator = GeomCLIPDataCollator(processor)
        arguments = TrainingArguments("runs/mine", remove_unused_columns=False, eval_strategy="epoch")
        Trainer(model, arguments, data_collator=collator, train_dataset=rows, eval_dataset=validation).train()

    The rows keep their columns only with `remove_unused_columns=False`; batches of a fixed size, with
    `dataloader_drop_last=True`. Every batch has `molecule_ids` and `text_ids`, so that two rows of one molecule or text
    are not negatives of each other.

    Args:
        processor: a [`GeomCLIPProcessor`].
        noise_config: of the geometry tower of a [`GeomCLIPForPreTraining`], to add a noised geometry to recover; its
            seeds are drawn from torch's global generator, so that `eval_loss` differs from one evaluation to the next.
    """

    def __init__(self, processor: Any, noise_config: GeomCLIPGeometryConfig | None = None):
        self.processor, self.noise_config = processor, noise_config

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch.

        Args:
            rows: each with `text` and a molecule: `atomic_numbers` and `positions` (Å), or `smiles`.
        Raises:
            MoleculeError: a molecule cannot be used. ValueError: a text is missing.
        """
        molecules, texts = [get_molecule_input(row) for row in rows], [row["text"] for row in rows]
        batch = dict(self.processor(molecules, text=texts, return_tensors="pt")) | identify_pairs(rows)
        if self.noise_config is not None:
            seeds = torch.randint(2**63 - 1, (len(rows),))
            geometry = (batch[name] for name in GEOMETRY)
            batch |= draw_noise(*geometry, seeds, self.noise_config)
        return batch


def identify_pairs(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """`molecule_ids` and `text_ids`, (rows,) int64, as `contrastive_loss` takes them."""
    return {
        "molecule_ids": torch.tensor([hash_id(find_first_block(row)) for row in rows]),
        "text_ids": torch.tensor([hash_id(row["text"]) for row in rows]),
    }
