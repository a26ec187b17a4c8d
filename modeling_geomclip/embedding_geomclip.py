"""Embed any number of molecules or texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .feature_extraction_geomclip import GeomCLIPBatch, GeomCLIPFeatureExtractor, list_molecules
from .grouping_geomclip import choose_group_cost, choose_pair_budget, group_by_size
from .processing_geomclip import list_texts

FEW = 64  # molecules or texts that take no time, and get no progress bar


def embed_molecules(
    model: Any,
    processor: Any,
    molecules: Any,
    pair_budget: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Embed molecules in batches of similar size, with progress bars if they are many.

    Args:
        model: a `GeomCLIPModel` on any device; its training mode is restored afterwards.
        processor: its processor or its feature extractor.
        molecules: one molecule or an iterable of them, in the forms that the feature extractor takes. Rows of a
            `datasets.Dataset` with `atomic_numbers` and `positions` (Å) are accepted too. A molecule that cannot be
            read raises before anything is embedded. To filter such molecules out, call
            `processor.feature_extractor.read(molecules, errors="report")` first.
        pair_budget: largest molecules * rows² of a batch; if omitted, it is chosen for the device.
        dtype: data type of autocast, such as `torch.bfloat16`; if omitted, there is no autocast.
    Returns:
        (molecules, projection_dim) float32, L2-normalised, on the CPU, in the order of the input.
    Raises:
        MoleculeError: a molecule cannot be used.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    molecules = list_molecules(molecules)
    bar = tqdm(molecules, desc="reading molecules", leave=False, disable=len(molecules) < FEW)
    records, _ = extractor.read(bar)
    return embed_records(model, processor, records, pair_budget, dtype)


def embed_records(
    model: Any,
    processor: Any,
    records: Sequence[Mapping[str, Any]],
    pair_budget: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Embed records from `extractor.read` as `embed_molecules` embeds molecules, without checking them again.

    Their positions therefore need not be those of a real molecule, as in a control experiment.
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
    """Embed texts in batches of similar length, with a progress bar if they are many.

    Args:
        model: a `GeomCLIPModel` on any device; its training mode is restored afterwards.
        processor: its processor.
        texts: one text or an iterable of them, such as a column of a table. Long texts are truncated by the processor.
            An item that is not a string raises before anything is embedded; an empty text is allowed.
        batch_size: number of texts per batch.
        dtype: as for `embed_molecules`.
    Returns:
        (texts, projection_dim) float32, L2-normalised, on the CPU, in the order of the input.
    Raises:
        ValueError: an item is not a string, such as NaN or None in a table, or there are no texts.
    """
    texts = list_texts(texts)
    order, embeds = torch.tensor([len(text) for text in texts]).argsort(stable=True), []
    with inference(model, dtype), tqdm(total=len(texts), desc="texts", leave=False, disable=len(texts) < FEW) as bar:
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
    """Yield molecules in batches of similar size, with a progress bar.

    Args:
        records: from `extractor.read`.
        pair_budget: as for `embed_molecules`.
    Yields:
        The indices of the molecules in `records` (int64, on the CPU), and their batch on the device.
    """
    budget = pair_budget or choose_pair_budget(device)
    num_rows = torch.tensor([len(record["atomic_numbers"]) + 2 for record in records])
    with tqdm(total=len(records), desc="molecules", leave=False, disable=len(records) < FEW) as bar:
        for indices in group_by_size(num_rows, budget, 2, choose_group_cost(device)):
            yield indices, extractor.pad([records[index] for index in indices.tolist()], "pt").to(device)
            bar.update(len(indices))


@contextmanager
def inference(model: torch.nn.Module, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Disable gradients and dropout, and autocast to `dtype` if given; restore the mode of every module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(model.device.type, dtype, enabled=dtype is not None):
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training
