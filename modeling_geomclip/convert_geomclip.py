"""Convert Uni-Mol checkpoints to geometry towers, and geometry towers to Uni-Mol checkpoints.

    python -m modeling_geomclip.convert_geomclip mol_pre_no_h_220816.pt tower
    python -m modeling_geomclip.convert_geomclip tower unimol.pt

The folder holds the tower with all its heads, and its feature extractor.
"""

import argparse
import hashlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

from .configuration_geomclip import GeomCLIPGeometryConfig
from .feature_extraction_geomclip import VOCABULARY, GeomCLIPFeatureExtractor
from .modeling_geometry_geomclip import GeomCLIPGeometryModel
from .pretraining_geomclip import GeomCLIPGeometryForPreTraining

# Prefixes of Uni-Mol's names and of ours (deepmodeling/Uni-Mol, models/unimol.py); the first match is used.
NAMES = {
    "embed_tokens": "geometry_model.embed_tokens",
    "encoder.emb_layer_norm": "geometry_model.embed_layer_norm",
    "encoder.final_layer_norm": "geometry_model.final_layer_norm",
    "encoder.final_head_layer_norm": "denoising_head.pair_layer_norm",
    "gbf.means.weight": "geometry_model.pair_basis.means",
    "gbf.stds.weight": "geometry_model.pair_basis.stds",
    "gbf.mul": "geometry_model.pair_basis.slope",
    "gbf.bias": "geometry_model.pair_basis.offset",
    "gbf_proj.linear1": "geometry_model.pair_projection.fc1",
    "gbf_proj.linear2": "geometry_model.pair_projection.fc2",
    "pair2coord_proj.linear1": "denoising_head.coordinate_head.fc1",
    "pair2coord_proj.linear2": "denoising_head.coordinate_head.fc2",
    "lm_head.weight": "denoising_head.atom_type_head.decoder.weight",
    "lm_head.bias": "denoising_head.atom_type_head.decoder.bias",
    "lm_head": "denoising_head.atom_type_head",
    "dist_head": "denoising_head.distance_head",
}
NAMES_IN_LAYER = {
    "self_attn_layer_norm": "attention_layer_norm",
    "self_attn": "attention",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "final_layer_norm": "mlp_layer_norm",
}
KINDS = ("weight", "bias")
PRETRAINED = ("geomclip", "geomclip_geometry")  # model types that `AutoModelForPreTraining` loads
OF_SYMBOLS = ("embed_tokens.weight", "lm_head.weight", "lm_head.bias")  # one row per symbol
OF_PAIRS = ("gbf.mul.weight", "gbf.bias.weight")  # one row per ordered pair of symbols

SPECIALS = 4
# unimol_tools 0.1.6 registers its special symbols, in its own order, before it reads the dictionary file.
UNIMOL_TOOLS = ["[CLS]", "[UNK]", "[PAD]", "[SEP]", *VOCABULARY[SPECIALS:]]
ORDERS = {"file": VOCABULARY, "unimol_tools": UNIMOL_TOOLS}


def load_unimol(path: str | Path, vocabulary: str | None = None) -> GeomCLIPGeometryForPreTraining:
    """Load a Uni-Mol checkpoint as a geometry tower with its heads, in evaluation mode.

    Args:
        path: .pt file, written by Uni-Mol's training or with the bare weights.
        vocabulary: order of the rows of the symbols: "file" (as in the dictionary file and the published weights),
            "unimol_tools", or the path of a dictionary file. If omitted, it is inferred from the dictionary file next
            to the weights (*dict*.txt) and from the embedding row that is 0, which is that of [PAD].
    Raises:
        ValueError: the file holds no weights; weights are missing, unexpected or of the wrong shape (all are listed);
            or the order of the symbols cannot be determined.
    """
    path = Path(path)
    weights = read_weights(path)
    config = infer_config(weights)
    config.source, config.source_sha256 = path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    model = GeomCLIPGeometryForPreTraining(config).eval()
    check_weights(weights, to_unimol(model))
    order = find_symbol_order(weights["embed_tokens.weight"], path, vocabulary)
    ours = {map_name(name): value for name, value in reorder_symbols(weights, order, VOCABULARY).items()}
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.reshape(shapes[name]) for name, value in ours.items()})
    return model


def to_unimol(model: GeomCLIPGeometryForPreTraining) -> dict[str, Tensor]:
    """Return the weights of a geometry tower and its heads with Uni-Mol's names, shapes and order of symbols.

    Raises:
        ValueError: the tower has weights that Uni-Mol lacks.
    """
    if channels := model.config.chirality_channels:
        raise ValueError(
            f"chirality_channels={channels}: a Uni-Mol checkpoint cannot store the chirality weights; convert a tower "
            "with chirality_channels=0"
        )
    names = {map_name(name): name for name in list_unimol_names(model.config.num_hidden_layers)}
    weights = {names[name]: value for name, value in model.state_dict().items()}
    rows = {name: weights[name].unsqueeze(0) for name in ("gbf.means.weight", "gbf.stds.weight")}
    return weights | rows


def list_unimol_names(num_layers: int) -> list[str]:
    """Return the names of all weights of a Uni-Mol pre-training checkpoint."""
    in_layer = ("self_attn_layer_norm", "self_attn.in_proj", "self_attn.out_proj", "fc1", "fc2", "final_layer_norm")
    modules = [f"encoder.layers.{number}.{name}" for number in range(num_layers) for name in in_layer]
    modules += ["encoder.emb_layer_norm", "encoder.final_layer_norm", "encoder.final_head_layer_norm"]
    modules += ["gbf_proj.linear1", "gbf_proj.linear2", "pair2coord_proj.linear1", "pair2coord_proj.linear2"]
    modules += ["lm_head", "lm_head.dense", "lm_head.layer_norm"]
    modules += ["dist_head.dense", "dist_head.layer_norm", "dist_head.out_proj"]
    single = ["embed_tokens.weight", "gbf.means.weight", "gbf.stds.weight", *OF_PAIRS]
    return single + [f"{module}.{kind}" for module in modules for kind in KINDS]


def map_name(name: str) -> str:
    """Return the name in [`GeomCLIPGeometryForPreTraining`] of a Uni-Mol weight."""
    if not name.startswith("encoder.layers."):
        return _rename(name, NAMES)
    _, _, number, inner = name.split(".", 3)
    return f"geometry_model.layers.{number}.{_rename(inner, NAMES_IN_LAYER)}"


def _rename(name: str, names: Mapping[str, str]) -> str:
    beginning = next(key for key in names if name == key or name.startswith(f"{key}."))
    return names[beginning] + name.removeprefix(beginning)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the float32 weights of a checkpoint by name, without running any code in it.

    Raises:
        ValueError: the file is not a checkpoint, or holds no weights.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):  # Uni-Core saves its command line with the weights
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:  # whose message recommends unsafe loading
            raise ValueError(
                f"{path} is not a checkpoint, or holds more than weights and settings; pass a Uni-Mol checkpoint"
            ) from error
    weights = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(value) for value in weights.values()):
        raise ValueError(
            f"{path} holds no weights, neither under 'model' nor at the top level; pass a Uni-Mol checkpoint"
        )
    return {name: value.float() for name, value in weights.items()}


def infer_config(weights: Mapping[str, Tensor]) -> GeomCLIPGeometryConfig:
    """Infer the shape of the tower from the weights; all other settings are Uni-Mol's.

    Each size is the most common one among the weights that have it, so that a misshapen weight can be reported.

    Raises:
        ValueError: the weights that determine a size are missing.
    """

    def size(*names: str) -> int:
        sizes = [weights[name].numel() for name in names if name in weights]
        if not sizes:
            raise ValueError(f"the checkpoint lacks {names[0]}; pass a Uni-Mol pre-training checkpoint")
        return statistics.mode(sizes)

    layers = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.layers.")} or {0}
    return GeomCLIPGeometryConfig(
        hidden_size=size(
            *(f"encoder.{norm}.{kind}" for norm in ("emb_layer_norm", "final_layer_norm") for kind in KINDS)
        ),
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=size("gbf_proj.linear2.bias", *(f"encoder.final_head_layer_norm.{kind}" for kind in KINDS)),
        intermediate_size=size(*(f"encoder.layers.{number}.fc1.bias" for number in sorted(layers))),
        num_gaussians=size("gbf.means.weight", "gbf.stds.weight", "gbf_proj.linear1.bias"),
    )


def check_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a ValueError that lists all missing, unexpected and misshapen weights of a checkpoint."""
    faults = [f"lacks {name}" for name in expected if name not in weights]
    faults += [f"has {name}, which no tower has" for name in weights if name not in expected]
    for name, value in expected.items():
        if name in weights and weights[name].shape != value.shape:
            faults.append(f"has {name} of shape {tuple(weights[name].shape)}, not {tuple(value.shape)}")
    if faults:
        raise ValueError(f"the checkpoint does not fit Uni-Mol's architecture: it {'; it '.join(faults)}")


def find_symbol_order(embedding: Tensor, path: Path, vocabulary: str | None) -> list[str]:
    """Return the symbols in the order of their rows."""
    if vocabulary is not None:
        order = ORDERS[vocabulary] if vocabulary in ORDERS else read_dictionary(Path(vocabulary))
    else:
        order = tell_order(embedding, path)
    if sorted(order) != sorted(VOCABULARY):
        odd = sorted(set(order) ^ set(VOCABULARY)) or [name for name in order if order.count(name) > 1]
        raise ValueError(f"the vocabulary of {path} is not Uni-Mol's; it differs in {', '.join(odd)}")
    return order


def tell_order(embedding: Tensor, path: Path) -> list[str]:
    """Return the order of the dictionary file, unless the row of zeros shows that unimol_tools changed it."""
    zeros = (embedding == 0).all(dim=1).nonzero().flatten().tolist()
    files = sorted(path.parent.glob("*dict*.txt"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{len(files)} dictionary files are next to {path}: {names}; choose one with --vocabulary")
    orders = [read_dictionary(files[0])] if files else [VOCABULARY]
    orders += [UNIMOL_TOOLS]
    if not zeros and files:
        return orders[0]
    fitting = [order for order in orders if [order.index("[PAD]")] == zeros]
    if not fitting:
        found = f"the rows {zeros} of its embedding are 0" if zeros else "no row of its embedding is 0"
        hint = f"{files[0]} does not settle it" if files else "there is no dictionary file next to it"
        raise ValueError(
            f"the order of the symbols of {path} is unknown: {found}, although only that of [PAD] should be, and "
            f"{hint}; run python -m modeling_geomclip.convert_geomclip with --vocabulary file (published weights), "
            "unimol_tools, or the path of a dictionary file"
        )
    return fitting[0]


def read_dictionary(path: Path) -> list[str]:
    """Return the symbols of a dictionary file, one per line, and [MASK], which Uni-Mol appends."""
    symbols = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return symbols if "[MASK]" in symbols else [*symbols, "[MASK]"]


def reorder_symbols(weights: Mapping[str, Tensor], order: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights with the rows of symbols, and of pairs of symbols, in the wanted order."""
    rows = torch.tensor([order.index(symbol) for symbol in wanted])
    pairs = (rows.unsqueeze(1) * len(order) + rows).flatten()  # edge type a * symbols + b
    moved = {name: weights[name][rows] for name in OF_SYMBOLS} | {name: weights[name][pairs] for name in OF_PAIRS}
    return {**weights, **moved}


def tell_hydrogens(path: str | Path) -> bool | None:
    """Return whether a published checkpoint ignores hydrogens, from its name; None for any other name."""
    name = Path(path).name
    return {"no_h": True, "all_h": False}.get(next((word for word in ("no_h", "all_h") if word in name), ""))


def build_feature_extractor(path: str | Path, **settings) -> GeomCLIPFeatureExtractor:
    """Build the feature extractor for the tower of a Uni-Mol checkpoint.

    Raises:
        ValueError: neither `settings` nor the file name says whether to remove hydrogens.
    """
    if settings.get("remove_hydrogens") is None:
        settings["remove_hydrogens"] = tell_hydrogens(path)
    if settings["remove_hydrogens"] is None:
        raise ValueError(f"the name of {path} contains neither no_h nor all_h; pass --remove_hydrogens true or false")
    return GeomCLIPFeatureExtractor(**settings)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Convert in the direction that the two paths imply."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s mol_pre_no_h_220816.pt tower\n       %(prog)s tower unimol.pt",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "source", help="Uni-Mol's .pt file; or the folder or Hub id of a geometry tower or a model with one"
    )
    parser.add_argument("target", help="output folder; or output .pt file")
    parser.add_argument(
        "--vocabulary", help="order of the symbols, if it cannot be inferred: file, unimol_tools or a dictionary file"
    )
    parser.add_argument(
        "--remove_hydrogens",
        "--remove-hydrogens",
        choices=["true", "false"],
        help="needed if the file name contains neither no_h nor all_h",
    )
    args = parser.parse_args(argv)
    if args.source.endswith(".pt") == args.target.endswith(".pt"):
        parser.error("exactly one of source and target must be a Uni-Mol .pt file; the other is a geometry tower")
    try:
        if args.source.endswith(".pt"):
            removes = None if args.remove_hydrogens is None else args.remove_hydrogens == "true"
            extractor = build_feature_extractor(args.source, remove_hydrogens=removes)
            load_unimol(args.source, args.vocabulary).save_pretrained(args.target)
            extractor.save_pretrained(args.target)
        else:
            torch.save({"model": to_unimol(load_trained_tower(args.source))}, args.target)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def load_tower(source: str) -> tuple[GeomCLIPGeometryForPreTraining, bool]:
    """Load the geometry tower of a folder or Hub id in float32, and return whether its heads were saved with it.

    A tower that was saved without heads, such as a captioner's, gets new ones with random weights.

    Raises:
        ValueError: the model has no geometry tower.
    """
    model_type, has_heads = AutoConfig.from_pretrained(source).model_type, False
    if model_type in PRETRAINED:
        settings = {"dtype": torch.float32, "output_loading_info": True}
        model, loading = AutoModelForPreTraining.from_pretrained(source, **settings)
        has_heads = not loading["missing_keys"]
    else:
        model = AutoModel.from_pretrained(source, dtype=torch.float32)
    tower, head = getattr(model, "geometry_model", None), getattr(model, "denoising_head", None)
    if not isinstance(tower, GeomCLIPGeometryModel):
        raise ValueError(f"{source} is a {model_type}, which has no geometry tower; pass a model with one")
    return GeomCLIPGeometryForPreTraining(tower.config, tower, head), has_heads


def load_trained_tower(source: str) -> GeomCLIPGeometryForPreTraining:
    """Load a geometry tower with trained heads, as `load_tower` does.

    Raises:
        ValueError: the model has no geometry tower, or was saved without its heads.
    """
    tower, has_heads = load_tower(source)
    if not has_heads:
        raise ValueError(
            f"{source} has no trained denoising heads; pass the tower or the GeomCLIP model that it was trained from"
        )
    return tower


if __name__ == "__main__":
    main()
