"""Door for sentence-transformers: `SentenceTransformer(folder, trust_remote_code=True)` loads a GeomCLIP checkpoint.

sentence-transformers has no modality for molecules, so the task decides: `encode_query` and `encode` take texts,
`encode_document` takes molecules. Nothing here imports sentence-transformers, so checkpoints can be saved without it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoModel, AutoProcessor

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers_geomclip.GeomCLIPSentenceModule"},
]
SETTINGS = {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"}
FILES = {"modules.json": MODULES, "config_sentence_transformers.json": SETTINGS}


class GeomCLIPSentenceModule(nn.Module):
    """The only module of a `SentenceTransformer` with a GeomCLIP: L2-normalised embeddings of texts and molecules.

    Args:
        model: a `GeomCLIPModel`.
        processor: its processor.
    """

    save_in_root = True
    modalities = ("text",)  # SMILES are strings, too; other molecules have no modality, which is not checked
    forward_kwargs: set[str] = set()

    def __init__(self, model: nn.Module, processor: Any):
        super().__init__()
        self.model, self.processor = model, processor

    @classmethod
    def load(
        cls, model_name_or_path: str, trust_remote_code: bool = False, model_kwargs: dict | None = None, **kwargs: Any
    ) -> "GeomCLIPSentenceModule":
        """Load model and processor; sentence-transformers calls this method."""
        names = {"token": "token", "revision": "revision", "cache_folder": "cache_dir"}
        names["local_files_only"] = "local_files_only"
        found = {ours: kwargs[name] for name, ours in names.items() if kwargs.get(name) is not None}
        found["trust_remote_code"] = trust_remote_code
        model = AutoModel.from_pretrained(model_name_or_path, **found, **(model_kwargs or {}))
        return cls(model, AutoProcessor.from_pretrained(model_name_or_path, **found))

    @property
    def tokenizer(self) -> Any:
        """Tokenizer of the texts."""
        return self.processor.tokenizer

    def get_embedding_dimension(self) -> int:
        """Return the number of dimensions of the embeddings."""
        return self.model.config.projection_dim

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, task: str | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Build a batch of texts, or of molecules if the task is "document".

        Args:
            inputs: texts, or molecules in any form that `read_molecule` takes.
            prompt: put before each text.
            task: "query", "document" or None.
            kwargs: of other modules of sentence-transformers; ignored.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: a text is not a string.
        """
        if task == "document":
            return dict(self.processor(molecules=list(inputs)))
        texts = [prompt + text for text in inputs] if prompt else list(inputs)
        return dict(self.processor(text=texts))

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add `sentence_embedding`, (inputs, projection_dim), to a batch from `preprocess`."""
        embed = self.model.get_geometry_features if "atom_ids" in features else self.model.get_text_features
        return {**features, "sentence_embedding": embed(**features).pooler_output}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Save model, processor and code."""
        self.model.save_pretrained(output_path)
        self.processor.save_pretrained(output_path)


def save_module_files(folder: str | Path) -> None:
    """Write the files by which sentence-transformers finds the module, and its code, to a checkpoint folder."""
    for name, content in FILES.items():
        (Path(folder) / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (Path(folder) / Path(__file__).name).write_bytes(Path(__file__).read_bytes())
