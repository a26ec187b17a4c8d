"""The weights that are chosen on validation rows are flags of the evaluation."""

import json
import sys

import choose_reranking
import pandas as pd
import pytest

from geomclip_tools.commands.evaluate_captioning import CaptioningSettings
from geomclip_tools.commands.parsing import parse_flags


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two candidates of one row: the true caption, which only the drafts favour, and another, with a false element."""
    rows = [("a true caption of chlorine", 0.50, 0.9, 0.1, 0), ("bromine", 0.55, 0.1, 0.1, 0)]
    columns = ["caption", "consensus", "drafts", "similarity", "agreement"]
    table = pd.DataFrame(rows, columns=columns).assign(system="model", row=0)
    table.to_parquet(tmp_path / "validation.v1.candidates.parquet")
    (tmp_path / "validation.v1.jsonl").write_text(
        json.dumps(
            {
                "reference": "a true caption of chlorine",
                "smiles": "CCl",
                "nearest by GeomCLIP": "it contains chlorine and bromine",
                "nearest by ECFP4": "it contains bromine",
            }
        )
        + "\n"
    )
    tokenizer = tmp_path / "tokenizer"
    words = ["--tokenizer", str(tokenizer), "--output", str(tmp_path / "weights.txt")]
    monkeypatch.setattr(sys, "argv", ["choose_reranking.py", str(tmp_path / "validation.v1"), *words])
    return tmp_path


def replace_metric(monkeypatch, meteor: float | None) -> None:
    """Replace the metric by the share of true captions."""

    class Metric:
        def compute(self, predictions, references, **kwargs):
            share = sum(one == other for one, other in zip(predictions, references, strict=True)) / len(references)
            return {"bleu_2": share, "rouge_l": share, "meteor": meteor, "meteor_unavailable": "no WordNet"}

    monkeypatch.setattr(choose_reranking, "MoleculeCaptioning", Metric)


def test_the_best_weights_are_flags(results, monkeypatch):
    replace_metric(monkeypatch, 0.5)
    choose_reranking.main()
    flags = (results / "weights.txt").read_text().split()
    needed = [word for name in ("model", "dataset", "output", "judge", "geomclip") for word in (f"--{name}", "m")]
    assert parse_flags(CaptioningSettings, [*needed, "--num_drafts", "1", *flags], "evaluate", "").weights.drafts >= 0.1


def test_without_meteor_no_weights_are_chosen(results, monkeypatch):
    replace_metric(monkeypatch, None)
    with pytest.raises(ValueError, match="no WordNet"):
        choose_reranking.main()
    assert not (results / "weights.txt").exists()


@pytest.mark.parametrize(("least", "draft"), [(0.5, 0.0), (0.8, 0.1), (0.85, 0.2), (0.95, 0.0)])
def test_the_weights_are_precise_enough_if_any_are(least, draft):
    rows = [(0.1, 0.82, 20), (0.2, 0.9, 10), (0.0, 0.7, 30)]
    table = pd.DataFrame(rows, columns=["draft", "fact_precision", "total"])
    assert choose_reranking.choose_best(table, least)["draft"] == draft
