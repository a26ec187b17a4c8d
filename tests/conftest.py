"""Fixtures that several test files share. Everything runs offline and on tiny models."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores, a thread for each
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import pytest
import torch
from transformers import BertConfig, BertTokenizer

from modeling_geomclip import (
    GeomCLIPConfig,
    GeomCLIPFeatureExtractor,
    GeomCLIPForPreTraining,
    GeomCLIPGeometryConfig,
    GeomCLIPModel,
    GeomCLIPProcessor,
)

WORDS = ("the", "molecule", "is", "an", "it", "has", "ring", "acid", "alcohol", "amine", "of", "with", "water")


@pytest.fixture
def geometry_config() -> GeomCLIPGeometryConfig:
    return GeomCLIPGeometryConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        num_gaussians=16,
        initializer_range=0.2,  # far from a constant function
    )


@pytest.fixture
def text_config() -> BertConfig:
    return BertConfig(vocab_size=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


@pytest.fixture
def config(geometry_config, text_config) -> GeomCLIPConfig:
    return GeomCLIPConfig(
        geometry_config=geometry_config.to_dict(), text_config=text_config.to_dict(), projection_dim=16
    )


@pytest.fixture
def model(config) -> GeomCLIPModel:
    torch.manual_seed(0)
    return GeomCLIPModel(config).eval()


@pytest.fixture
def pretraining_model(config) -> GeomCLIPForPreTraining:
    torch.manual_seed(0)
    return GeomCLIPForPreTraining(config).eval()


@pytest.fixture
def processor(tmp_path) -> GeomCLIPProcessor:
    symbols = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz0123456789"]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(symbols)))
    return GeomCLIPProcessor(GeomCLIPFeatureExtractor(), BertTokenizer(vocab=str(vocabulary), model_max_length=64))


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Three asymmetric geometries of 7, 5 and 3 atoms ([UNK] among them) with texts of unequal length."""
    generator = torch.Generator().manual_seed(1)
    sizes = [7, 5, 3]
    atom_ids = torch.zeros(3, 9, dtype=torch.long)
    for row, size in enumerate(sizes):
        atom_ids[row, 0], atom_ids[row, size + 1] = 1, 2
        atom_ids[row, 1 : size + 1] = torch.tensor([4, 5, 6, 3, 8, 4, 29])[:size]
    positions = 1.5 * torch.randn(3, 9, 3, generator=generator)
    input_ids = torch.randint(5, 60, (3, 6), generator=generator)
    attention_mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 5 + [0]])
    return {
        "atom_ids": atom_ids,
        "positions": positions,
        "atom_mask": atom_ids >= 3,
        "input_ids": input_ids * attention_mask,
        "attention_mask": attention_mask,
    }


@pytest.fixture(scope="module")
def ray_cluster():
    """A Ray cluster of two nodes on this machine, a processor each, as the one of `RAY_ADDRESS`."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        soon = {"health_check_period_ms": 500, "health_check_timeout_ms": 2000, "health_check_failure_threshold": 4}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": soon})
        cluster.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()
