"""Compare bfloat16 with float32 embeddings, on 100 molecules and a tower of moderate size."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rdkit import Chem

from modeling_geomclip import GeomCLIPConfig, GeomCLIPFeatureExtractor, GeomCLIPModel

CORES = [
    "c1ccccc1{}",
    "C1CCCCC1{}",
    "CC(=O)Nc1ccc(cc1){}",
    "O=C1c2ccccc2C(=O)N1{}",
    "c1ccc2[nH]cc(c2c1){}",
    "CN1CCN(CC1)c1ccc(nc1){}",
    "O=S(=O)(c1ccccc1)N{}",
    "CC(C)Cc1ccc(cc1){}",
    "c1csc(n1){}",
    "C1COC(C1)n1cnc2c1ncnc2{}",
]
SUBSTITUENTS = ["C", "CO", "CCN", "C(=O)O", "C#N", "C(F)(F)F", "CCCl", "C(=O)OCC", "CBr", "CCSC"]
SMILES = [core.format(substituent) for core in CORES for substituent in SUBSTITUENTS]


@pytest.fixture(scope="module")
def molecules() -> dict[str, torch.Tensor]:
    return dict(GeomCLIPFeatureExtractor()(SMILES, return_tensors="pt"))


def tower(text_config, initializer_range: float) -> GeomCLIPModel:
    geometry_config = {
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 16,
        "intermediate_size": 1024,
        "initializer_range": initializer_range,
    }
    torch.manual_seed(0)
    return GeomCLIPModel(GeomCLIPConfig(geometry_config=geometry_config, text_config=text_config.to_dict())).eval()


def embed(model: GeomCLIPModel, molecules: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.get_geometry_features(**molecules).pooler_output


def embed_loaded(model: GeomCLIPModel, molecules: dict[str, torch.Tensor], folder: Path) -> torch.Tensor:
    model.save_pretrained(folder)
    half = GeomCLIPModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.geometry_projection.weight.dtype == torch.bfloat16
    return embed(half, molecules)


def embed_cast(model: GeomCLIPModel, molecules: dict[str, torch.Tensor], folder: Path) -> torch.Tensor:
    return embed(model.to(torch.bfloat16), molecules)


def embed_autocast(model: GeomCLIPModel, molecules: dict[str, torch.Tensor], folder: Path) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return embed(model, molecules)


def test_there_are_a_hundred_different_molecules(molecules):
    assert len({Chem.CanonSmiles(smiles) for smiles in SMILES}) == 100
    assert len(molecules["atom_ids"]) == 100
    sizes = molecules["atom_mask"].sum(dim=1)
    assert sizes.max() > 2 * sizes.min()  # there is padding


@pytest.mark.parametrize("embed_half", [embed_loaded, embed_cast, embed_autocast])
def test_bfloat16_embeddings_of_a_new_tower(embed_half: Callable, molecules, text_config, tmp_path):
    model = tower(text_config, initializer_range=0.02)
    reference = embed(model, molecules)
    assert torch.cosine_similarity(embed_half(model, molecules, tmp_path), reference).min() > 0.999


@pytest.mark.parametrize("embed_half", [embed_loaded, embed_cast, embed_autocast])
def test_bfloat16_embeddings_where_molecules_differ(embed_half: Callable, molecules, text_config, tmp_path):
    model = tower(text_config, initializer_range=0.1)
    reference = embed(model, molecules)
    others = (reference @ reference.T)[~torch.eye(100, dtype=torch.bool)]
    assert others.mean() < 0.9
    half = embed_half(model, molecules, tmp_path)
    assert half.dtype == torch.float32  # normalised in float32
    assert torch.cosine_similarity(half, reference).min() > 0.999
    assert not torch.equal(half, reference)
