"""Saving and loading of captioners: whole, or as an adapter that names its base and the hash of its weights."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers.generation import GenerationConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.utils import ADAPTER_CONFIG_NAME, is_peft_available
from transformers.utils.quantization_config import GgufConfig

from .configuration_geomclip import GeomCLIPCaptioningConfig
from .modeling_geomclip import GeomCLIPModel
from .modeling_geometry_geomclip import forget_origin
from .references_geomclip import EMBEDDINGS_FILE, hash_geometry_side, hash_modules

NOT_WEIGHTS = ("adapter_", EMBEDDINGS_FILE)  # beginnings of the names of other safetensors files

NOT_OF_PARTS = ("device_map", "quantization_config", "attn_implementation")  # arguments of `from_pretrained`


class AdapterMixin:
    """Saving and loading of a captioner, which is saved as an adapter if it has one."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        base_model: str | None = None,
        base_parts: dict[str, str] | None = None,
        **kwargs,
    ) -> None:
        """Save the model. If it has an adapter, save only the adapter, with the name and hash of its base.

        Args:
            base_model: name of the base to record: a path relative to the adapter's folder, or a Hub id. If omitted, it
                is the path to the base's folder, or the Hub id it was loaded from.
            base_parts: in place of it, the models that the base consists of, from `describe_parts`.
        Raises:
            ValueError: the adapter's base was never saved, or a whole model would be saved in an adapter's folder.
        """
        if not self._hf_peft_config_loaded:
            if (Path(save_directory) / ADAPTER_CONFIG_NAME).is_file():
                raise ValueError(f"{save_directory} holds an adapter whose base is elsewhere; choose another folder")
            self.config.base_model = self.config.base_sha256 = self.config.base_parts = None
            super().save_pretrained(save_directory, **kwargs)
            self.name_or_path = os.path.abspath(save_directory)
            return
        base_parts = base_parts or self.config.base_parts
        if not self.name_or_path and base_parts is None:
            raise ValueError("the adapter's base was never saved; save the model before you add an adapter to it")
        if base_parts is not None:
            base_model = base_parts["decoder"]
        elif base_model is None:
            is_local = Path(self.name_or_path).is_dir()
            base_model = make_relative(self.name_or_path, save_directory) if is_local else self.name_or_path
        for adapter in self.peft_config.values():
            adapter.base_model_name_or_path = base_model
        self.config.base_parts = base_parts
        if base_parts is None:
            self.config.base_model, self.config.base_sha256 = base_model, weights_sha256(self.name_or_path)
        else:
            self.config.base_model = self.config.base_sha256 = None
        self.set_auto_map()
        self.config.save_pretrained(save_directory)  # first, since the next line may upload the folder
        super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args, **kwargs):
        """Load the model. From an adapter's folder, load its base and add the adapter to it.

        Raises:
            ImportError: the folder holds an adapter and peft is not installed.
            ValueError: the adapter was trained on other base weights, or config.json does not name a base.
            OSError: the base is not where config.json says.
        """
        folder = Path(pretrained_model_name_or_path)
        if not (folder / ADAPTER_CONFIG_NAME).is_file():
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        if not is_peft_available():
            raise ImportError(f"{folder} holds an adapter, which needs the peft package; pip install peft")
        config = kwargs.pop("config", None) or cls.config_class.from_pretrained(folder)
        if config.base_parts is not None:
            if given := [name for name in NOT_OF_PARTS if kwargs.get(name) is not None]:
                raise ValueError(
                    f"{folder} has no weights of its base to load with {given}; merge it, and load the result"
                )
            return cls.from_parts(folder, config, kwargs.pop("decoder", None), kwargs.pop("dtype", None))
        base = locate_base(folder, config)
        kwargs.setdefault("generation_config", GenerationConfig.from_pretrained(folder))
        adapter = {**(kwargs.pop("adapter_kwargs", None) or {}), "_adapter_model_path": str(folder)}
        return super().from_pretrained(base, *args, config=config, adapter_kwargs=adapter, **kwargs)

    @classmethod
    def from_parts(
        cls, folder: Path, config: GeomCLIPCaptioningConfig, decoder: str | None = None, dtype: Any = None
    ) -> "AdapterMixin":
        """Make the base of an adapter from a GeomCLIP and a decoder, and add the adapter to it.

        Args:
            folder: the adapter's.
            config: its configuration, with `base_parts`.
            decoder: folder or Hub id of the decoder, in place of the one that `base_parts` names.
            dtype: data type of the whole model; those of the parts if None or "auto".
        Raises:
            OSError: a part is not there.
            ValueError: a part has other weights than the one that the adapter was trained on.
        """
        geomclip, language_model = load_parts(folder, config.base_parts, decoder)
        for part in (geomclip.geometry_model, language_model):
            forget_origin(part)
        model = cls(config, geomclip.geometry_model, language_model)
        for name in ("geometry_pooling", "geometry_layer_norm", "geometry_projection"):
            getattr(model, name).load_state_dict(getattr(geomclip, name).state_dict())
        PreTrainedModel.load_adapter(model, str(folder))
        model.generation_config = GenerationConfig.from_pretrained(folder)
        return model.eval() if dtype in (None, "auto") else model.eval().to(dtype)

    def load_adapter(self, peft_model_id: str | None = None, *args, **kwargs) -> Any:
        """Load an adapter that was trained on this model.

        Raises:
            ValueError: the adapter was trained on another base.
        """
        if peft_model_id is not None:
            expected = self.config_class.from_pretrained(peft_model_id).base_sha256
            found = weights_sha256(self.name_or_path) if self.name_or_path else None
            if expected is None or found != expected:
                raise ValueError(
                    f"the adapter {str(peft_model_id)!r} belongs to a base whose weights have SHA-256 {expected}, "
                    f"but those of {self.name_or_path or 'this model'!r} have {found}; load it with "
                    "AutoModel.from_pretrained(adapter), or onto its own base"
                )
        return super().load_adapter(peft_model_id, *args, **kwargs)


def weights_sha256(name_or_path: str) -> str:
    """Return the SHA-256 over a model's safetensors files, in the order of their names.

    Args:
        name_or_path: folder or Hub id.
    Raises:
        ValueError: there are no safetensors files.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        folder = Path(snapshot_download(name_or_path, allow_patterns="*.safetensors"))
    digest = hashlib.sha256()
    files = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith(NOT_WEIGHTS))
    if not files:
        raise ValueError(f"{name_or_path} has no .safetensors files; save the adapter's base with save_pretrained")
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def make_relative(base: str, folder: str | os.PathLike) -> str:
    """Return the path from an adapter's folder to its base. It starts with a dot, unlike a Hub id."""
    path = Path(os.path.relpath(base, folder)).as_posix()
    return path if path.startswith(".") else f"./{path}"


def locate_base(folder: Path, config: GeomCLIPCaptioningConfig) -> str:
    """Return the folder or Hub id of the base of the adapter in `folder`."""
    if config.base_model is None:
        raise ValueError(f"{folder} holds an adapter without base_model in config.json; save it with save_pretrained")
    return locate(folder, config.base_model, "base", "base_model")


def locate(folder: Path, name: str, what: str, key: str) -> str:
    """Return the folder, if there is one, or the Hub id that the config.json of an adapter names."""
    local = folder / name
    if local.is_dir():
        return os.path.normpath(local)
    if name.startswith(".") or name.count("/") != 1:
        raise OSError(
            f"the adapter in {folder} needs its {what} {name!r}, but there is no folder {local}; move the {what} "
            f"there, or set {key} in config.json to its path or Hub id"
        )
    return name


def describe_parts(geomclip_model: Any, decoder_model: PreTrainedModel, **names: str) -> dict[str, str]:
    """Return `base_parts` of the configuration of an adapter.

    Args:
        geomclip_model: `GeomCLIPModel`, or a captioner with its geometry side.
        decoder_model: the language model, without an adapter.
        names: `geomclip`, `decoder` and, for a GGUF file, `decoder_file`.
    """
    return {
        **names,
        "geometry_sha256": hash_geometry_side(geomclip_model),
        "decoder_sha256": hash_modules({"decoder": decoder_model}),
        "decoder_dtype": str(decoder_model.dtype).removeprefix("torch."),
    }


def load_parts(
    folder: Path, parts: dict[str, str], decoder: str | None = None
) -> tuple[GeomCLIPModel, PreTrainedModel]:
    """Load the models that the base of an adapter consists of.

    Args:
        folder: the adapter's.
        parts: `base_parts` of its configuration.
        decoder: folder or Hub id of the decoder, in place of the one that is named.
    Raises:
        OSError: a part is not there.
        ValueError: a part has other weights than the one that the adapter was trained on.
    """
    geomclip = GeomCLIPModel.from_pretrained(locate(folder, parts["geomclip"], "GeomCLIP", "base_parts"))
    source = decoder or locate(folder, parts["decoder"], "decoder", "base_parts")
    options: dict[str, Any] = {"dtype": getattr(torch, parts["decoder_dtype"])}
    if "decoder_file" in parts and not Path(source, "config.json").is_file():
        options |= {"gguf_file": parts["decoder_file"], "quantization_config": GgufConfig(dequantize=True)}
    language_model = AutoModelForCausalLM.from_pretrained(source, **options)
    found = describe_parts(geomclip, language_model)
    for name, model in (("geometry_sha256", parts["geomclip"]), ("decoder_sha256", source)):
        if found[name] != parts[name]:
            raise ValueError(
                f"the adapter in {folder} belongs to a {name.removesuffix('_sha256')} whose weights have SHA-256 "
                f"{parts[name]}, but those of {model!r} have {found[name]}; pass the one it was trained on"
            )
    return geomclip, language_model
