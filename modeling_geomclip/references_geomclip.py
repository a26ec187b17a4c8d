"""Captions of known molecules, which a captioner reads when it describes a similar molecule."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize
from transformers.utils import cached_file

from .embedding_geomclip import embed_molecules

EMBEDDINGS_FILE, CAPTIONS_FILE = "references.safetensors", "references.jsonl"
FIRST_BLOCK = 14  # letters of an InChIKey that ignore stereochemistry, isotopes and charge
QUERIES_AT_ONCE = 256
UNLIKE_QUANTILE, UNLIKE_SAMPLE = 0.01, 1000  # of the similarities of references to their nearest others


class Neighbour(NamedTuple):
    """A reference molecule that is similar to a molecule.

    Args:
        inchikey: its InChIKey or the first block of it.
        similarity: cosine of the two geometry embeddings.
        caption: its caption.
    """

    inchikey: str
    similarity: float
    caption: str


class GeomCLIPReferences:
    """Captions of known molecules, retrieved by the embeddings of their geometries.

    The captioner that reads them embeds the molecules itself, so that a caption depends on nothing but the geometry
    (retrieval-augmented generation, Lewis et al., NeurIPS 2020).

    Args:
        embeddings: (references, projection_dim), from the geometry side of a captioner.
        captions: one per molecule.
        inchikeys: one per molecule, or the first block of it; identifies a molecule in `find`.
        tower_sha256: `hash_geometry_side` of the captioner that computed the embeddings.
    Raises:
        ValueError: there are no references, the numbers differ, a caption or an InChIKey is missing, or an embedding is
            zero or not finite.
    """

    def __init__(self, embeddings: Tensor, captions: Sequence[str], inchikeys: Sequence[str], tower_sha256: str):
        if not len(captions) == len(inchikeys) == len(embeddings):
            numbers = f"{len(embeddings)} embeddings, {len(captions)} captions and {len(inchikeys)} InChIKeys"
            raise ValueError(f"there are {numbers}; give one of each per reference molecule")
        if not len(captions):
            raise ValueError("there are no reference molecules; give at least one with a caption")
        for name, items in (("caption", captions), ("InChIKey", inchikeys)):
            for index, item in enumerate(items):
                if not isinstance(item, str) or not item.strip():
                    raise ValueError(f"reference molecule {index} has no {name}; fill it in or remove the molecule")
        norms = embeddings.float().norm(dim=1)
        if not (norms.isfinite() & (norms > 0)).all():
            index = int((~(norms.isfinite() & (norms > 0))).nonzero()[0])
            raise ValueError(f"the embedding of reference molecule {index} is zero or not finite; compute it anew")
        self.embeddings = normalize(embeddings.float(), dim=1).half()
        self.captions, self.inchikeys, self.tower_sha256 = list(captions), list(inchikeys), tower_sha256

    @classmethod
    def from_molecules(
        cls, model: Any, processor: Any, molecules: Any, captions: Sequence[str], inchikeys: Sequence[str]
    ) -> "GeomCLIPReferences":
        """Embed molecules with the geometry side of a captioner.

        Args:
            model, processor: the captioner, and its processor or feature extractor.
            molecules: as for `embed_molecules`.
            captions, inchikeys: one per molecule.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: as for `__init__`.
        """
        embeddings = embed_molecules(model, processor, molecules)
        return cls(embeddings, captions, inchikeys, hash_geometry_side(model))

    def __len__(self) -> int:
        return len(self.captions)

    @cached_property
    def min_similarity(self) -> float:
        """Similarity to the nearest other reference that 99 % of the references exceed; -1 if there is only one.

        A molecule that is less similar to its nearest reference is unlike all of them.
        """
        step = -(-len(self) // UNLIKE_SAMPLE)
        found = self.find(self.embeddings[::step], 1, self.inchikeys[::step])
        nearest = [neighbours[0].similarity for neighbours in found if neighbours]
        return float(np.quantile(nearest, UNLIKE_QUANTILE)) if nearest else -1.0

    def is_unlike(self, neighbours: Sequence[Neighbour]) -> bool:
        """Return whether a molecule is unlike all references: none of its neighbours reaches `min_similarity`."""
        return not any(found.similarity >= self.min_similarity for found in neighbours)

    def find(
        self,
        embeddings: Tensor,
        num_neighbours: int,
        left_out: Sequence[str | None] | None = None,
        left_out_captions: Sequence[str | None] | None = None,
    ) -> list[list[Neighbour]]:
        """Find the nearest reference molecules of each molecule, the nearest first.

        The neighbours of a molecule have different first InChIKey blocks and different captions. There may be fewer
        than `num_neighbours`.

        Args:
            embeddings: (molecules, projection_dim), from the same geometry side.
            num_neighbours: neighbours per molecule.
            left_out: for each molecule, an InChIKey whose first block none of its neighbours may have: its own, in
                training and evaluation. None leaves nothing out.
            left_out_captions: for each molecule, a caption that none of its neighbours may have, in the same way.
        Returns:
            The neighbours of each molecule; possibly none.
        Raises:
            ValueError: there are not as many items to leave out as molecules.
        """
        left_out, left_out_captions = (
            [None] * len(embeddings) if items is None else items for items in (left_out, left_out_captions)
        )
        if not len(left_out) == len(left_out_captions) == len(embeddings):
            numbers = f"{len(left_out)} InChIKeys and {len(left_out_captions)} captions"
            raise ValueError(f"{numbers} to leave out for {len(embeddings)} molecules; give one or None for each")
        queries, keys = (normalize(rows.detach().float().cpu(), dim=1) for rows in (embeddings, self.embeddings))
        nearest = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            cosines = queries[start : start + QUERIES_AT_ONCE] @ keys.T
            order = cosines.argsort(dim=1, descending=True, stable=True)
            for row in range(len(cosines)):
                places = self._walk(order[row], num_neighbours, left_out[start + row], left_out_captions[start + row])
                nearest.append([self._describe(place, float(cosines[row, place])) for place in places])
        return nearest

    def _walk(self, order: Tensor, num_neighbours: int, own: str | None, own_caption: str | None) -> list[int]:
        """Return the first places of different molecules with different captions."""
        blocks, captions, places = {(own or "")[:FIRST_BLOCK]}, {own_caption}, []
        for place in _iterate(order):
            if len(places) == num_neighbours:
                break
            block, caption = self.inchikeys[place][:FIRST_BLOCK], self.captions[place]
            if block not in blocks and caption not in captions:
                places.append(place)
                blocks.add(block)
                captions.add(caption)
        return places

    def _describe(self, place: int, similarity: float) -> Neighbour:
        return Neighbour(self.inchikeys[place], similarity, self.captions[place])

    # ------------------------------------------------------------------------------------------------ saving, loading

    def save_pretrained(self, save_directory: str | os.PathLike) -> None:
        """Save the references, for example in the folder of their captioner."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"format": "pt", "tower_sha256": self.tower_sha256}
        save_file({"embeddings": self.embeddings.contiguous()}, folder / EMBEDDINGS_FILE, metadata)
        with (folder / CAPTIONS_FILE).open("w", encoding="utf-8") as file:
            for inchikey, caption in zip(self.inchikeys, self.captions, strict=True):
                file.write(json.dumps({"inchikey": inchikey, "caption": caption}, ensure_ascii=False) + "\n")

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, **kwargs) -> "GeomCLIPReferences":
        """Load references.

        Args:
            name_or_path: folder or Hub id.
            kwargs: arguments of `transformers.utils.cached_file`, such as `revision` and `token`.
        Raises:
            OSError: there are none.
            ValueError: the files have different numbers of references, or as for `__init__`.
        """
        files = [cached_file(name_or_path, name, **kwargs) for name in (EMBEDDINGS_FILE, CAPTIONS_FILE)]
        with safe_open(files[0], "pt") as file:
            embeddings, metadata = file.get_tensor("embeddings"), file.metadata() or {}
        with open(files[1], encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        captions, inchikeys = ([row[name] for row in rows] for name in ("caption", "inchikey"))
        return cls(embeddings, captions, inchikeys, metadata.get("tower_sha256", ""))

    def check_captioner(self, model: Any) -> None:
        """Check that the embeddings are from the geometry side of a captioner.

        Raises:
            ValueError: they are from another one, with which they are not comparable.
        """
        if (found := hash_geometry_side(model)) != self.tower_sha256:
            raise ValueError(
                f"the references were embedded by a geometry side with SHA-256 {self.tower_sha256 or 'unknown'}, but "
                f"that of the captioner has {found}; build them again, with GeomCLIPReferences.from_molecules or "
                "geomclip caption --references"
            )


def hash_geometry_side(model: Any) -> str:
    """Return the SHA-256 of the weights that embed a molecule; the same in float32 and bfloat16, but not in float16.

    Args:
        model: a captioner or a `GeomCLIPModel`.
    """
    parts = ("geometry_model", "geometry_pooling", "geometry_layer_norm", "geometry_projection")
    return hash_modules({name: getattr(model, name) for name in parts})


def hash_modules(modules: dict[str, torch.nn.Module]) -> str:
    """Return the SHA-256 over names, shapes and values of the weights of modules, rounded to bfloat16."""
    digest = hashlib.sha256()
    for part, module in modules.items():
        for name, weight in sorted(module.state_dict().items()):
            digest.update(f"{part}.{name} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().to(torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _iterate(order: Tensor, block: int = 64) -> Iterator[int]:
    """Yield the items of a long tensor, most of which is not needed."""
    for part in order.split(block):
        yield from part.tolist()
