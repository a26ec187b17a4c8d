from itertools import pairwise, permutations

import numpy as np
import pytest
from datasets import Dataset
from rdkit import Chem

from geomclip_tools.evaluation.word_queries import WORD_QUERIES, WordQuery
from geomclip_tools.evaluation.word_search import (
    choose_molecules,
    evaluate_word_queries,
    format_table,
    judge_molecules,
    score_ranking,
    score_word_queries,
)
from modeling_geomclip import embed_molecules

SMILES = ["OC(=O)c1ccccc1", "CCO", "OB(O)c1ccccc1", "CC(C)O", "NCC(=O)O"]
QUERIES = [
    WordQuery(text, group, lambda molecule: True) for text, group in zip("abcd", ["described"] * 2 + ["unseen"] * 2)
]


# ------------------------------------------------------------------------------------------------------- one ranking


def test_fewer_right_than_the_depths():
    found = score_ranking(np.array([0.7, 0.9, 0.8, 0.6]), np.array([True, True, False, False]))  # ranks 3 and 1
    assert found == {
        "num_right": 2,
        "prevalence": 0.5,
        "precision_at_10": 0.5,  # among the first two
        "precision_at_50": 0.5,
        "average_precision": pytest.approx((1 + 2 / 3) / 2),
    }


def test_more_right_than_the_depths():
    is_right = np.arange(100) % 2 == 0  # ranks 1, 3, ...
    is_right[:4] = [True, True, True, False]
    scores = np.linspace(1, -1, 100)
    found = score_ranking(scores, is_right)
    assert found["num_right"] == 51
    assert found["precision_at_10"] == 0.6  # ranks 1, 2, 3, 5, 7 and 9
    assert found["precision_at_50"] == 26 / 50
    first_right = score_ranking(scores, is_right & (np.arange(100) < 40))  # 21, of which 12 among the first 21
    assert first_right["precision_at_10"] == 0.6
    assert first_right["precision_at_50"] == 12 / 21


def test_no_right_answer():
    assert score_ranking(np.array([0.5, 0.4]), np.array([False, False])) == {
        "num_right": 0,
        "prevalence": 0,
        "precision_at_10": None,
        "precision_at_50": None,
        "average_precision": None,
    }


def test_a_right_answer_that_is_never_found_stays_among_the_right_ones():
    found = score_ranking(np.array([0.9, -np.inf, 0.5]), np.array([True, True, False]))
    assert (found["num_right"], found["precision_at_10"], found["average_precision"]) == (2, 0.5, 0.5)
    nothing = score_ranking(np.full(3, -np.inf), np.array([True, True, False]))
    assert (nothing["num_right"], nothing["precision_at_10"], nothing["average_precision"]) == (2, 0, 0)


def test_two_tied_by_hand():
    tied = score_ranking(np.array([0.5, 0.5]), np.array([True, False]))
    assert tied["precision_at_10"] == 0.5
    assert tied["average_precision"] == pytest.approx((1 + 1 / 2) / 2)


def average_over_orders(scores: np.ndarray, is_right: np.ndarray) -> tuple[float, float]:
    """Average the precision at the number of correct answers and the average precision over all allowed orders."""
    found = np.flatnonzero(np.isfinite(scores))
    outcomes = []
    for order in permutations(found):
        if all(scores[first] >= scores[second] for first, second in pairwise(order)):
            right = is_right[list(order)]
            precisions = right.cumsum() / np.arange(1, len(right) + 1)
            number = is_right.sum()
            outcomes.append((right[:number].sum() / number, precisions[right].sum() / number))
    return tuple(np.mean(outcomes, axis=0))


@pytest.mark.parametrize("seed", range(12))
def test_ties_count_as_the_mean_over_all_their_orders(seed):
    random = np.random.default_rng(seed)
    scores, is_right = random.integers(0, 3, 6).astype(float), random.random(6) < 0.5
    is_right[0], scores[random.integers(1, 6)] = True, -np.inf
    found = score_ranking(scores, is_right)
    expected = average_over_orders(scores, is_right)
    assert (found["precision_at_10"], found["average_precision"]) == pytest.approx(expected)


def test_the_order_of_rows_changes_nothing():
    random = np.random.default_rng(0)
    scores, is_right, order = random.integers(0, 20, 200) / 20, random.random(200) < 0.2, random.permutation(200)
    assert score_ranking(scores[order], is_right[order]) == pytest.approx(score_ranking(scores, is_right))


def test_close_scores_make_no_chain():
    scores = 1 - 6e-7 * np.arange(100)  # each ties with its neighbour, but not all of them together
    best = score_ranking(scores, np.arange(100) < 10)
    assert best["average_precision"] == pytest.approx(1)
    assert score_ranking(np.array([0.5, 0.5 + 1e-9]), np.array([True, False]))["precision_at_10"] == 0.5


# ---------------------------------------------------------------------------------------------------------- all queries


def test_means_by_group_and_over_all():
    similarities = np.array([[0.9, 0.1, 0.5, 0.4]] * 4)
    relevance = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    scores = score_word_queries(similarities, relevance, queries=QUERIES)
    metrics = scores["metrics"]
    assert [query["average_precision"] for query in scores["queries"]] == [1, 0.5, 1, None]
    assert [query["text"] for query in scores["queries"]] == list("abcd")
    assert {group: values["num_queries"] for group, values in metrics.items()} == {
        "described": 2,
        "unseen": 1,
        "all": 3,
    }
    assert metrics["described"]["average_precision"] == 0.75
    assert metrics["described"]["precision_at_50"] == 0.5
    assert metrics["described"]["prevalence"] == 0.25
    assert metrics["all"]["average_precision"] == pytest.approx(2.5 / 3)
    assert metrics["all"]["average_precision_low"] < 2.5 / 3 < metrics["all"]["average_precision_high"]
    assert score_word_queries(similarities, relevance, queries=QUERIES) == scores
    bare = score_word_queries(similarities, relevance, num_bootstrap=0, queries=QUERIES)["metrics"]["all"]
    assert bare == {name: value for name, value in metrics["all"].items() if not name.endswith(("_low", "_high"))}


def test_a_group_without_right_answers_is_left_out():
    relevance = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], dtype=bool)
    assert score_word_queries(np.zeros((4, 2)), relevance, queries=QUERIES)["metrics"].keys() == {"described", "all"}


@pytest.mark.parametrize(
    ("similarities", "relevance", "rule"),
    [
        (np.zeros((4, 3)), np.ones((4, 2)), r"similarities \(4, 3\) and relevance \(4, 2\)"),
        (np.zeros((3, 2)), np.ones((3, 2)), "of 4 queries"),
        (np.full((4, 2), np.nan), np.ones((4, 2)), "NaN or infinity"),
        (np.full((4, 2), np.inf), np.ones((4, 2)), "NaN or infinity"),
        (np.zeros((4, 2)), np.zeros((4, 2)), "none of 2 molecules is a correct answer"),
    ],
)
def test_what_cannot_be_scored(similarities, relevance, rule):
    with pytest.raises(ValueError, match=rule):
        score_word_queries(similarities, relevance, queries=QUERIES)


def test_the_table_has_a_row_for_each_group_and_one_for_all():
    relevance = np.array([[1, 0], [0, 1], [0, 1], [0, 0]], dtype=bool)
    metrics = score_word_queries(np.array([[0.9, 0.1]] * 4), relevance, queries=QUERIES)["metrics"]
    lines = format_table(metrics).splitlines()
    assert lines[0].startswith("| queries      | prevalence % | P@10 % ")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| described, 2", "| unseen, 1   ", "| all, 3      "]
    assert "| 50.0         | 50.0 [0.0, 100.0] |" in lines[2]
    assert "| 0.0 [0.0, 0.0] " in lines[3]


# ------------------------------------------------------------------------------------------------------------ molecules


def test_rows_of_one_molecule_are_searched_once():
    rows = Dataset.from_dict({"smiles": ["CCO", "C[C@H](N)O", "OCC", "C[C@@H](N)O", "??", "!!"]})
    choice = choose_molecules(rows)
    assert choice.rows == [0, 1, 4, 5]  # rows without an identifier count as unique molecules
    assert choice.molecules["smiles"][:] == ["CCO", "C[C@H](N)O", "??", "!!"]
    assert (choice.num_repeated, choice.num_unknown) == (2, 0)


def test_only_the_molecules_of_a_list_are_searched():
    rows = Dataset.from_dict({"smiles": ["CCO", "CN", "OCC", "??"], "inchikey14": ["A" * 14, "B" * 14, "A" * 14, None]})
    choice = choose_molecules(rows, ["A" * 14, "C" * 14])
    assert (choice.rows, choice.num_repeated, choice.num_unknown) == ([0], 1, 1)
    with pytest.raises(ValueError, match="the dataset of 4 rows has none of the 1 molecules"):
        choose_molecules(rows, ["C" * 14])


def test_a_structure_that_cannot_be_read_is_not_judged():
    rows = Dataset.from_dict({"smiles": ["OB(O)c1ccccc1", "??", None, "CCO", ""]})
    relevance, judged, failures = judge_molecules(rows)
    assert relevance.shape == (100, 2)
    assert judged.tolist() == [0, 3]
    assert [failure["row"] for failure in failures] == [1, 2, 4]
    assert failures[0]["reason"].startswith("RDKit cannot read its SMILES")
    right = {query.text for query, is_right in zip(WORD_QUERIES, relevance[:, 0], strict=True) if is_right}
    assert right == {"contains boron"}
    with pytest.raises(ValueError, match="no molecule of 1 can be judged"):
        judge_molecules(rows.select([1]))


# ---------------------------------------------------------------------------------------------------------------- model


def evaluate(model, processor, rows: Dataset, **settings) -> dict:
    return evaluate_word_queries(model, processor, rows, **{"num_bootstrap": 0} | settings)


def answer_with_right_molecules(model, processor, texts: list[str]):
    """Encode a text as the embedding of the last correct molecule."""
    embeds = embed_molecules(model, processor, SMILES)
    molecules = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
    assert texts == [query.text for query in WORD_QUERIES]
    best = [max((n for n, mol in enumerate(molecules) if query.is_right(mol)), default=0) for query in WORD_QUERIES]
    return 7 * embeds[best]  # of any length


def test_a_model_that_knows_the_answers_finds_them(model, processor):
    rows = Dataset.from_dict({"smiles": SMILES})
    evaluation = evaluate(model, processor, rows, encode_texts=answer_with_right_molecules)
    by_text = {query["text"]: query for query in evaluation["queries"]}
    for text in ("contains boron", "a secondary alcohol without rings", "an alpha-amino acid"):
        assert by_text[text] == {
            "text": text,
            "group": "described",
            "num_right": 1,
            "prevalence": 0.2,
            "precision_at_10": 1,
            "precision_at_50": 1,
            "average_precision": 1,
        }
    assert evaluation["num_molecules"] == 5
    assert evaluation["failures"] == []


def test_refused_molecules_are_reported_and_never_found(model, processor):
    rows = Dataset.from_dict(
        {
            "smiles": ["??", *SMILES],
            "atomic_numbers": [[6, 8], [6, 8], [6, 6, 8], [0, 6], [6, 7], [6, 6, 6]],
            "positions": [[[1.3 * atom, 0.0, 0.0] for atom in range(number)] for number in (2, 2, 3, 2, 2, 3)],
        }
    )
    evaluation = evaluate(model, processor, rows)
    assert [failure["row"] for failure in evaluation["failures"]] == [0, 3]
    assert evaluation["failures"][1]["reason"] == "0 is not an atomic number; use 1 to 118"
    assert evaluation["num_molecules"] == 5
    boron = next(query for query in evaluation["queries"] if query["text"] == "contains boron")
    assert (boron["num_right"], boron["precision_at_10"], boron["average_precision"]) == (1, 0, 0)


def test_conformers_may_be_made_and_averaged_over(model, processor):
    rows = Dataset.from_dict({"smiles": SMILES})
    given = evaluate(model, processor, rows)
    assert evaluate(model, processor, rows, coordinates="rdkit") == given
    several = evaluate(model, processor, rows, coordinates="rdkit", num_conformers=2)
    assert several["metrics"].keys() == given["metrics"].keys()


def test_the_training_mode_is_kept(model, processor):
    model.train()
    evaluate(model, processor, Dataset.from_dict({"smiles": SMILES}))
    assert model.training
