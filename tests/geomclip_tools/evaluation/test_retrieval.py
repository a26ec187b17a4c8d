"""Retrieval on a stub with known answers, and once end to end on a tiny real model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BatchFeature

from geomclip_tools.evaluation.retrieval import evaluate_retrieval, format_table, randomise_positions
from modeling_geomclip import GeomCLIPFeatureExtractor

NUM_PAIRS = 24
ROOT = Path(__file__).parents[3]


def make_pairs(num_rows: int = NUM_PAIRS) -> Dataset:
    """Return rows: in row k, the first two atoms are 1.1 + k/20 Å apart, others are far away, and the text is k."""
    rows = []
    for k in range(num_rows):
        positions = [[0.0, 0.0, 0.0], [1.1 + k / 20, 0.0, 0.0], *([5.0, 5.0 + 1.5 * i, 0.0] for i in range(k % 5))]
        rows.append({"text": str(k), "atomic_numbers": [6] * len(positions), "positions": positions})
    return Dataset.from_list(rows)


class StubProcessor:
    """A processor that reads molecules like the real one and encodes a text as the number in it."""

    feature_extractor = GeomCLIPFeatureExtractor(remove_hydrogens=False)

    def __call__(self, text, return_tensors):
        ids = torch.tensor([[int(number)] for number in text])
        return BatchFeature({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


class StubModel(torch.nn.Module):
    """A model that encodes k from the first distance and from the text."""

    device = torch.device("cpu")

    def __init__(self, num_rows: int = NUM_PAIRS):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(torch.eye(num_rows), freeze=False)

    def get_geometry_features(self, atom_ids, positions, atom_mask, **kwargs):
        assert not self.training
        assert atom_mask.sum(1).max() + 2 == atom_ids.shape[1] == positions.shape[1]  # truncated to the largest size
        k = (20 * ((positions[:, 2] - positions[:, 1]).norm(dim=-1) - 1.1)).round().long()
        return SimpleNamespace(pooler_output=self.embedding(k.clamp(0, len(self.embedding.weight) - 1)))

    def get_text_features(self, input_ids, attention_mask):
        assert not self.training
        return SimpleNamespace(pooler_output=self.embedding(input_ids[:, 0]))


@pytest.fixture
def pairs() -> Dataset:
    return make_pairs()


def evaluate(pairs: Dataset, model: StubModel | None = None, **settings) -> dict:
    settings = {"num_bootstrap": 0, "pair_budget": 500} | settings
    return evaluate_retrieval(model or StubModel(), StubProcessor(), pairs, **settings)


def test_conformers_from_smiles_take_the_place_of_the_geometries_given(model, processor):
    smiles = ["CCO", "CCCCN", "c1ccccc1O", "CC(=O)O"]
    rows = Dataset.from_dict({"smiles": smiles, "text": [f"molecule {letter}" for letter in "abcd"]})
    lines = [[[float(length * atom), 0, 0] for atom in range(3)] for length in range(1, 5)]
    given = rows.add_column("atomic_numbers", [[6] * 3] * 4).add_column("positions", lines)
    settings = {"num_bootstrap": 0, "pair_budget": None}
    of_smiles = evaluate_retrieval(model, processor, rows, **settings)
    assert evaluate_retrieval(model, processor, given, **settings, coordinates="rdkit") == of_smiles
    assert (
        evaluate_retrieval(model, processor, given, **settings, coordinates="rdkit", num_conformers=2)["num_rows"] == 4
    )


def test_conformers_are_made_once_for_the_model_and_its_control(model, processor, monkeypatch):
    rows = Dataset.from_dict({"smiles": ["CCO", "CCCCN", "CC(=O)O"], "text": ["a", "b", "c"]})
    seen, read = [], processor.feature_extractor.read

    def counted(molecules, errors="raise"):
        molecules = list(molecules)
        seen.extend(molecules)
        return read(molecules, errors)

    monkeypatch.setattr(processor.feature_extractor, "read", counted)
    evaluation = evaluate_retrieval(model, processor, rows, num_bootstrap=0, with_random_positions=True)
    assert evaluation["metrics"].keys() == {"model", "random positions"}
    assert [molecule for molecule in seen if isinstance(molecule, str)] == rows["smiles"][:]


def test_a_model_that_knows_the_answers_finds_them_and_loses_them_on_random_positions(pairs):
    evaluation = evaluate(pairs, with_random_positions=True)
    assert list(evaluation["metrics"]) == ["model", "random positions"]
    for direction in ("geometry_to_text", "text_to_geometry"):
        recalls = [metrics[f"{direction}_full_recall_at_1"] for metrics in evaluation["metrics"].values()]
        assert recalls[0] == 1
        assert recalls[1] < 0.4
    assert evaluation["num_rows"] == NUM_PAIRS
    assert evaluation["failures"] == []


def test_batches_and_row_order_change_nothing(pairs):
    model = StubModel()
    with torch.no_grad():  # neither perfect nor symmetric results
        model.embedding.weight.add_(torch.randn(NUM_PAIRS, NUM_PAIRS, generator=torch.Generator().manual_seed(0)))
    first = evaluate(pairs, model, pair_budget=1)
    assert evaluate(pairs, model, pair_budget=None) == first
    full = {key: value for key, value in first["metrics"]["model"].items() if "_pool_" not in key}
    shuffled = evaluate(pairs.shuffle(seed=1), model)["metrics"]["model"]
    assert {key: shuffled[key] for key in full} == pytest.approx(full)


def test_refused_molecules_are_reported_by_row_and_reason_and_left_out(pairs):
    rows = pairs.to_list()
    for bad in (3, 17):
        rows[bad]["atomic_numbers"][0] = 0
    evaluation = evaluate(Dataset.from_list(rows))
    assert evaluation["failures"] == [
        {"row": bad, "reason": "0 is not an atomic number; use 1 to 118"} for bad in (3, 17)
    ]
    assert evaluation["num_rows"] == evaluation["metrics"]["model"]["num_rows"] == NUM_PAIRS - 2
    assert evaluation["metrics"]["model"]["geometry_to_text_full_recall_at_1"] == 1


def test_the_first_block_of_the_key_tells_which_rows_are_one_molecule(pairs):
    swapped = pairs.remove_columns("text").add_column("text", ["1", "0", *map(str, range(2, NUM_PAIRS))])
    found = evaluate(swapped)["metrics"]["model"]["geometry_to_text_full_recall_at_1"]
    assert found == pytest.approx((NUM_PAIRS - 2) / NUM_PAIRS)
    mirror_images = [f"{'A' * 14}-{'B' * 10}-N", f"{'A' * 14}-{'C' * 10}-N"]
    keys = mirror_images + [f"{chr(70 + row) * 14}-{'B' * 10}-N" for row in range(NUM_PAIRS - 2)]
    metrics = evaluate(swapped.add_column("inchikey", keys))["metrics"]["model"]
    assert metrics["num_molecules"] == NUM_PAIRS - 1
    assert metrics["geometry_to_text_full_recall_at_1"] == 1


def test_further_molecules_are_those_that_are_not_among_the_pairs(pairs):
    keys = [f"{chr(65 + row) * 14}-{'B' * 10}-N" for row in range(NUM_PAIRS)]
    named = pairs.add_column("inchikey", keys)
    half, again = named.select(range(12)), named.select([3, 12, 13, 13])
    bad = pairs.select([20]).map(lambda row: {"atomic_numbers": [0] * len(row["atomic_numbers"])})
    further = [again, named.select([13, 14]), bad.select_columns(["atomic_numbers", "positions"])]
    evaluation = evaluate(half, further=further, with_random_positions=True)
    metrics = evaluation["metrics"]["model"]
    assert metrics["num_further"] == 3  # rows 12 to 14
    assert metrics["text_to_geometry_further_recall_at_1"] == 1
    assert "text_to_geometry_further_recall_at_1" not in evaluation["metrics"]["random positions"]
    assert "text -> geometry, enlarged set of 15" in format_table(evaluation["metrics"])
    assert "in all 20 columns" in format_table(evaluation["metrics"])
    assert "num_further" not in evaluate(half, further=[half])["metrics"]["model"]


def test_equal_texts_are_hits(pairs):
    texts = ["0", "0", *map(str, range(2, NUM_PAIRS))]
    metrics = evaluate(pairs.remove_columns("text").add_column("text", texts))["metrics"]["model"]
    assert metrics["text_to_geometry_full_recall_at_1"] == 1
    assert metrics["text_to_geometry_full_recall_at_1_ceiling"] == pytest.approx((NUM_PAIRS - 1) / NUM_PAIRS)


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_kept_and_no_graph_is_built(pairs, training):
    model = StubModel().train(training)
    evaluate(pairs, model)
    assert model.training is training
    assert model.embedding.weight.grad is None


def test_rows_without_text_and_sets_without_molecules_are_refused(pairs):
    rows = pairs.to_list()
    rows[5]["text"] = "  "
    with pytest.raises(ValueError, match="1 rows have no text, first row 5"):
        evaluate(Dataset.from_list(rows))
    rows = pairs.to_list()
    for row in rows:
        row["atomic_numbers"][0] = 0
    with pytest.raises(ValueError, match=r"no molecule of 24 .*0 is not an atomic number"):
        evaluate(Dataset.from_list(rows))


def gaussian_molecules(num_molecules: int = 400) -> list[dict]:
    """Return small compact molecules and large extended ones, away from the origin."""
    random = np.random.default_rng(0)
    sizes = [4, 20] * (num_molecules // 2)
    return [
        {"index": index, "atomic_numbers": np.full(size, 6), "positions": random.normal(3, size / 10, (size, 3))}
        for index, size in enumerate(sizes)
    ]


def test_random_positions_have_one_spread_and_elements_stay():
    molecules = gaussian_molecules()
    scrambled = randomise_positions(molecules, seed=0)
    spread = np.concatenate([molecule["positions"] - molecule["positions"].mean(0) for molecule in molecules]).std()
    for rows in (slice(0, None, 2), slice(1, None, 2)):  # the same for small and large molecules
        positions = np.concatenate([molecule["positions"] for molecule in scrambled[rows]])
        assert positions.std(0).tolist() == pytest.approx([spread] * 3, rel=0.06)
        assert positions.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.15)
    for before, after in zip(molecules, scrambled, strict=True):
        assert before["index"] == after["index"]
        assert before["atomic_numbers"] is after["atomic_numbers"]


def test_random_positions_of_a_row_depend_on_seed_and_row_alone():
    molecules = gaussian_molecules(6)
    scrambled = [molecule["positions"] for molecule in randomise_positions(molecules, seed=0)]
    again = [molecule["positions"] for molecule in randomise_positions(molecules[::-1], seed=0)][::-1]
    other = [molecule["positions"] for molecule in randomise_positions(molecules, seed=1)]
    for one, two, three in zip(scrambled, again, other, strict=True):
        np.testing.assert_allclose(one, two)
        assert (np.abs(three - one).sum(-1) > 1e-3).all()
    assert not np.allclose(scrambled[0], scrambled[2])


def test_the_table_shows_numbers_intervals_bounds_and_verdicts(pairs):
    metrics = evaluate(pairs, with_random_positions=True, num_bootstrap=20)["metrics"]
    table = format_table(metrics)
    assert "| geometry -> text, full set of 24 " in table
    assert "| text -> geometry, random pools of 24 " in table
    assert table.count("| model ") == table.count("| chance ") == table.count("| ceiling ") == 4
    assert "100.0 [100.0, 100.0]" in table
    assert "| 4.2 " in table
    assert "The row 'model' does NOT beat 'random positions' in" in table or "beats 'random positions'" in table


def test_the_verdict_names_what_the_model_does_not_win(pairs):
    metrics = evaluate(pairs)["metrics"]["model"]
    worse = {key: value + 1 if "median" in key else value / 2 for key, value in metrics.items()}
    assert format_table({"model": metrics, "control": worse}).endswith("beats 'control' in all 20 columns.")
    lucky = worse | {"text_to_geometry_full_recall_at_5": 1.0, "geometry_to_text_pool_median_rank": 0.5}
    assert format_table({"model": metrics, "control": lucky}).endswith(
        "does NOT beat 'control' in 2 of 20 columns:\n"
        "- geometry -> text, random pools: median rank\n"
        "- text -> geometry, full set: R@5 %"
    )
