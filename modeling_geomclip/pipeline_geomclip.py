"""Pipelines for `transformers.pipeline` that caption molecules, predict their properties or classify them by words."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from transformers import GenerationConfig, Pipeline

from .embedding_geomclip import embed_texts
from .molecule_files_geomclip import find_file_format
from .molecules_geomclip import read_molecule
from .processing_captioning_geomclip import UNLIKE


class MoleculeCaptioningPipeline(Pipeline):
    """Caption molecules with a [`GeomCLIPForCaptioning`] and its [`GeomCLIPCaptioningProcessor`].

    `pipeline("molecule-captioning", model="captioner")` loads a folder with a whole captioner or an adapter.

    Molecules are read one by one, in worker processes if there are any. The processor pads them: transformers collates
    inputs that are not tensors to lists, and the processor takes a list as well as one molecule.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False
    _pipeline_calls_generate = True
    _default_generation_config = GenerationConfig(max_new_tokens=128)  # for models that set no length

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.model.config.model_type != "geomclip_captioning":
            name = self.model.config.model_type
            raise ValueError(f"the model is a {name}, which does not generate captions; pass a captioner")

    def __call__(self, molecules: Any, **kwargs: Any) -> Any:
        """Caption one molecule, or a list, a generator or a torch dataset of molecules.

        Args:
            molecules: in the forms that `read_molecule` takes. If the prompt contains the SMILES, pass the SMILES, or
                pass other forms as {"molecule": ..., "smiles": ...}, and arrays as {"atomic_numbers": ...,
                "positions": ..., "smiles": ...}.
            kwargs: `batch_size` and `num_workers`, as for every pipeline; `generate_kwargs`, or single arguments of
                `GenerationMixin.generate`, such as `max_new_tokens`, `num_beams` and `num_return_sequences`.
        Returns:
            For one molecule, a list of `num_return_sequences` entries {"caption", "score", "neighbours"}: the score is
            the mean log-probability of the caption's tokens, in nats, and the neighbours are the similar molecules
            whose captions the decoder has read, as {"inchikey", "similarity", "caption"}, the nearest first. A molecule
            that is unlike the references gets one entry, which says so, with the score None. For a list, a list of
            these; for a generator or dataset, an iterator over these.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: the list is empty, or the prompt contains the SMILES and a molecule comes without one.
        """
        if isinstance(molecules, list) and not molecules:
            raise ValueError("the list of molecules is empty; pass at least one")
        return super().__call__(molecules, **kwargs)

    def _sanitize_parameters(self, generate_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> tuple:
        generate_kwargs = generate_kwargs or {}
        if twice := sorted(generate_kwargs.keys() & kwargs.keys()):
            raise ValueError(f"{', '.join(twice)} given both in generate_kwargs and as an argument; pass only one")
        return {}, {**generate_kwargs, **kwargs}, {}

    def preprocess(self, molecule: Any) -> dict[str, Any]:
        """Read one molecule and, if it has one, its SMILES."""
        named = molecule if isinstance(molecule, Mapping) else {}
        smiles = named.get("smiles") or _find_smiles(named.get("molecule", molecule))
        if smiles is None and "{smiles}" in self.processor.prompt:
            raise ValueError(
                f"the prompt contains the SMILES, but a molecule of type {type(molecule).__name__} comes without one; "
                'pass the SMILES itself or {"molecule": ..., "smiles": ...}'
            )
        extractor = self.processor.feature_extractor
        settings = (extractor.conformer_seed, extractor.remove_hydrogens, extractor.max_atoms)
        return {"molecule": read_molecule(named.get("molecule", molecule), *settings), "smiles": smiles}

    def _forward(self, inputs: dict[str, Any], **generate_kwargs: Any) -> dict[str, Any]:
        """Return `captions`, (molecules, num_return_sequences, tokens) int64, their scores, and the neighbours."""
        neighbours = self.processor.find_neighbours(self.model, inputs["molecule"])
        texts = {"smiles": inputs["smiles"], "neighbours": neighbours}
        batch = self.processor(inputs["molecule"], **texts, return_tensors="pt").to(self.device)
        settings = self._prepare_generate_kwargs(generate_kwargs, return_dict_in_generate=False)
        token_ids = self.model.generate(**batch, **settings)
        captions, scores = (
            values.unflatten(0, (len(batch["atom_ids"]), -1))
            for values in (token_ids, self.model.score_captions(token_ids, **batch))
        )
        found = np.empty((len(captions), 1), dtype=object)  # an array, because transformers splits batches of arrays
        found[:, 0] = neighbours or [[] for _ in captions]
        return {"captions": captions, "scores": scores, "neighbours": found}

    def postprocess(self, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Decode the captions of one molecule."""
        # transformers splits the batch, so that there is one molecule.
        (captions,), (scores,), ((neighbours,),) = (outputs[name] for name in ("captions", "scores", "neighbours"))
        captions = self.processor.decode_captions(captions)
        found = [neighbour._asdict() for neighbour in neighbours]
        if self.processor.is_unlike(neighbours):
            return [{"caption": UNLIKE, "score": None, "neighbours": found}]
        return [
            {"caption": caption, "score": score, "neighbours": found}
            for caption, score in zip(captions, scores.tolist(), strict=True)
        ]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model or adapter, processor and code, for `pipeline(model=save_directory, trust_remote_code=True)`."""
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


class MoleculePropertyPipeline(Pipeline):
    """Predict properties with a [`GeomCLIPForPropertyPrediction`] and its [`GeomCLIPFeatureExtractor`].

    `pipeline("molecule-property-prediction", model="predictor")`. Molecules are read and padded as in
    [`MoleculeCaptioningPipeline`].
    """

    _load_processor = False
    _load_tokenizer = False
    _load_feature_extractor = True
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.model, "property_head"):
            name = type(self.model).__name__
            raise ValueError(f"the model is a {name}, which does not predict properties; pass a property predictor")

    def __call__(self, molecules: Any, **kwargs: Any) -> Any:
        """Predict properties of one molecule, or of a list, a generator or a torch dataset of molecules.

        Args:
            molecules: in the forms that `read_molecule` takes; those without coordinates get an RDKit conformer.
            kwargs: `batch_size` and `num_workers`, as for every pipeline.
        Returns:
            For one molecule, a list with one entry per property: {"label", "value", "unit"} for regression, or
            {"label", "score"} with a probability for classification. For a list, a list of these; for a generator or
            dataset, an iterator over these.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: the list is empty.
        """
        if isinstance(molecules, list) and not molecules:
            raise ValueError("the list of molecules is empty; pass at least one")
        return super().__call__(molecules, **kwargs)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple:
        if kwargs:
            raise TypeError(f"the pipeline does not accept {', '.join(sorted(kwargs))}")
        return {}, {}, {}

    def preprocess(self, molecule: Any) -> dict[str, Any]:
        """Read one molecule."""
        extractor = self.feature_extractor
        settings = (extractor.conformer_seed, extractor.remove_hydrogens, extractor.max_atoms)
        return {"molecule": read_molecule(molecule, *settings)}

    def _forward(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        batch = self.feature_extractor(inputs["molecule"], return_tensors="pt").to(self.device)
        return {"logits": self.model(**batch).logits}

    def postprocess(self, outputs: dict[str, Tensor]) -> list[dict[str, Any]]:
        """Convert the logits of one molecule to named values with units, or to probabilities."""
        config, (logits,) = self.model.config, outputs["logits"].double()
        labels = [config.id2label[index] for index in range(config.num_labels)]
        if config.problem_type == "regression":
            units = config.label_units or [""] * len(labels)
            values = zip(labels, logits.tolist(), units, strict=True)
            return [{"label": label, "value": value, "unit": unit} for label, value, unit in values]
        is_multi = config.problem_type == "multi_label_classification"
        scores = logits.sigmoid() if is_multi else logits.softmax(dim=-1)
        return [{"label": label, "score": score} for label, score in zip(labels, scores.tolist(), strict=True)]


class MoleculeZeroShotClassificationPipeline(Pipeline):
    """Classify molecules by labels in words with a [`GeomCLIPModel`], without any training on these labels.

    `pipeline("zero-shot-molecule-classification", model="geomclip")`. Molecules are read and padded as in
    [`MoleculeCaptioningPipeline`].
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.model.config.model_type != "geomclip":
            name = self.model.config.model_type
            raise ValueError(f"the model is a {name}, which does not embed texts; pass a GeomCLIP")
        self._texts, self._text_embeds = None, None

    def __call__(self, molecules: Any, candidate_labels: Sequence[str] = (), **kwargs: Any) -> Any:
        """Classify one molecule, or a list, a generator or a torch dataset of molecules.

        Args:
            molecules: in the forms that `read_molecule` takes; those without coordinates get an RDKit conformer.
            candidate_labels: labels to choose from, such as "a steroid".
            kwargs: `hypothesis_template`, the text into which each label is put, such as "The molecule is {}.";
                `batch_size` and `num_workers`, as for every pipeline.
        Returns:
            For one molecule, a list of {"label", "score"}, best first; the scores are the softmax of the cosines
            divided by the model's temperature. For a list, a list of these; for a generator or dataset, an iterator
            over these.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: there are no molecules or no labels, or the template has no place for a label.
        """
        if isinstance(molecules, list) and not molecules:
            raise ValueError("the list of molecules is empty; pass at least one")
        labels = [candidate_labels] if isinstance(candidate_labels, str) else list(candidate_labels)
        return super().__call__(molecules, candidate_labels=labels, **kwargs)

    def _sanitize_parameters(
        self, candidate_labels: list[str] | None = None, hypothesis_template: str | None = None, **kwargs: Any
    ) -> tuple:
        if kwargs:
            raise TypeError(f"the pipeline does not accept {', '.join(sorted(kwargs))}")
        if candidate_labels is not None and not candidate_labels:
            raise ValueError("there are no candidate_labels; pass at least one")
        if hypothesis_template is not None and "{}" not in hypothesis_template:
            raise ValueError(f"hypothesis_template is {hypothesis_template!r}; it needs {{}} in the place of the label")
        labels = {} if candidate_labels is None else {"candidate_labels": candidate_labels}
        template = {} if hypothesis_template is None else {"hypothesis_template": hypothesis_template}
        return {}, {**labels, **template}, labels

    def preprocess(self, molecule: Any) -> dict[str, Any]:
        """Read one molecule."""
        extractor = self.processor.feature_extractor
        settings = (extractor.conformer_seed, extractor.remove_hydrogens, extractor.max_atoms)
        return {"molecule": read_molecule(molecule, *settings)}

    def _forward(
        self, inputs: dict[str, Any], candidate_labels: list[str], hypothesis_template: str = "{}"
    ) -> dict[str, Tensor]:
        """Return `logits`, (molecules, labels)."""
        texts = [hypothesis_template.replace("{}", label) for label in candidate_labels]
        if texts != self._texts:  # otherwise those of the molecules before
            self._texts, self._text_embeds = texts, embed_texts(self.model, self.processor, texts)
        batch = self.processor(molecules=inputs["molecule"], return_tensors="pt").to(self.device)
        embeds = self.model.get_geometry_features(**batch, only_pooled=True).pooler_output
        return {"logits": self.model.logit_scale.exp() * embeds @ self._text_embeds.to(embeds).T}

    def postprocess(self, outputs: dict[str, Tensor], candidate_labels: list[str]) -> list[dict[str, Any]]:
        """Convert the logits of one molecule to probabilities, the highest first."""
        (logits,) = outputs["logits"].float()
        scores = logits.softmax(dim=-1)
        order = scores.argsort(descending=True, stable=True).tolist()
        return [{"label": candidate_labels[place], "score": scores[place].item()} for place in order]


def _find_smiles(molecule: Any) -> str | None:
    """Return the molecule if it is a SMILES, distinguished from other forms as in `read_molecule`; otherwise None."""
    if not isinstance(molecule, str) or "\n" in molecule.strip() or molecule.strip().startswith("InChI="):
        return None
    return None if find_file_format(molecule.strip()) else molecule.strip()
