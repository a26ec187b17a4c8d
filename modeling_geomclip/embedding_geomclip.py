"""Any number of molecules or of texts -> their embeddings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .feature_extraction_geomclip import GeomCLIPBatch, GeomCLIPFeatureExtractor, list_molecules
from .grouping_geomclip import choose_group_cost, choose_pair_budget, group_by_size
from .processing_geomclip import list_texts


def embed_molecules(
    model: Any,
    processor: Any,
    molecules: Any,
    pair_budget: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Embeddings of molecules, by the batch, those of like size together; with progress bars.

    Args:
        model: a `GeomCLIPModel` on any device; its training mode is kept.
        processor: its processor, or the feature extractor alone.
        molecules: a molecule, or any number of them, in the forms that the feature extractor takes; rows of a
            `datasets.Dataset` with `atomic_numbers` and `positions` (Å) too. What cannot be read stops the call before
            anything is embedded; `processor.feature_extractor.read(molecules, errors="report")` sorts it out.
        pair_budget: molecules * rows² that are encoded at once; left out, what suits the device.
        dtype: to compute in, by autocast, such as `torch.bfloat16`; left out, that of the weights.
    Returns:
        (molecules, projection_dim) float32, L2-normalised, on the CPU, in the order given.
    Raises:
        MoleculeError: for a molecule that cannot be used.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    records, _ = extractor.read(tqdm(list_molecules(molecules), desc="reading molecules", leave=False))
    return embed_records(model, processor, records, pair_budget, dtype)


def embed_records(
    model: Any,
    processor: Any,
    records: Sequence[Mapping[str, Any]],
    pair_budget: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """As `embed_molecules`, of records as `extractor.read` gives them, which are not checked again.

    So their positions may be those of no molecule, as in a control.
    """
    extractor, places, embeds = getattr(processor, "feature_extractor", processor), [], []
    with inference(model, dtype):
        for indices, batch in batches_by_size(extractor, records, model.device, pair_budget):
            places.append(indices)
            embeds.append(model.get_geometry_features(**batch, only_pooled=True).pooler_output.float().cpu())
    return torch.cat(embeds)[torch.cat(places).argsort()]


def embed_texts(
    model: Any, processor: Any, texts: str | Iterable[str], batch_size: int = 64, dtype: torch.dtype | None = None
) -> Tensor:
    """Embeddings of texts, by the batch, those of like length together; with a progress bar.

    Args:
        model: a `GeomCLIPModel` on any device; its training mode is kept.
        processor: its processor.
        texts: a text, or any number of them, such as a column of a table, of which too long ones are cut, see the
            processor. What is no text stops the call before anything is embedded; an empty text is one of no words.
        batch_size: texts that are encoded at once.
        dtype: as for `embed_molecules`.
    Returns:
        (texts, projection_dim) float32, L2-normalised, on the CPU, in the order given.
    Raises:
        ValueError: for a text that is no text, such as the NaN or None of a table, or if there is none.
    """
    texts = list_texts(texts)
    order, embeds = torch.tensor([len(text) for text in texts]).argsort(stable=True), []
    with inference(model, dtype), tqdm(total=len(texts), desc="texts", leave=False) as bar:
        for indices in order.split(batch_size):
            batch = processor(text=[texts[index] for index in indices.tolist()], return_tensors="pt")
            embeds.append(model.get_text_features(**batch.to(model.device)).pooler_output.float().cpu())
            bar.update(len(indices))
    return torch.cat(embeds)[order.argsort()]


def batches_by_size(
    extractor: GeomCLIPFeatureExtractor,
    records: Sequence[Mapping[str, Any]],
    device: torch.device,
    pair_budget: int | None = None,
) -> Iterator[tuple[Tensor, GeomCLIPBatch]]:
    """Places in `records` (int64, on the CPU) of molecules of like size, and their batch on the device; with a bar.

    Args:
        records: as `extractor.read` gives them.
        pair_budget: as for `embed_molecules`.
    """
    budget = pair_budget or choose_pair_budget(device)
    num_rows = torch.tensor([len(record["atomic_numbers"]) + 2 for record in records])
    with tqdm(total=len(records), desc="molecules", leave=False) as bar:
        for indices in group_by_size(num_rows, budget, 2, choose_group_cost(device)):
            yield indices, extractor.pad([records[index] for index in indices.tolist()], "pt").to(device)
            bar.update(len(indices))


@contextmanager
def inference(model: torch.nn.Module, dtype: torch.dtype | None = None) -> Iterator[None]:
    """No gradients, no dropout, and autocast to `dtype` if it is given; then every part's mode is what it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(model.device.type, dtype, enabled=dtype is not None):
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training
