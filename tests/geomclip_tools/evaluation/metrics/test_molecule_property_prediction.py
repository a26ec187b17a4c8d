"""Check the metric against direct calls of scikit-learn and values calculated by hand; check errors."""

from pathlib import Path

import evaluate
import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

METRIC = Path(__file__).parents[4] / "eval" / "metrics" / "molecule_property_prediction"
NAN = float("nan")


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(METRIC))


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 30.0]
    labels[::3, 0] = NAN
    return labels


def test_regression_is_that_of_scikit_learn_on_the_labels_that_are_there(metric, labels):
    predictions = np.nan_to_num(labels) + np.random.default_rng(1).normal(size=labels.shape)
    scores = metric.compute(
        predictions=predictions, references=labels, targets=["homo", "alpha"], stds=[2.0, 30.0], num_bootstrap=50
    )
    for column, target in enumerate(("homo", "alpha")):
        is_labelled = ~np.isnan(labels[:, column])
        pair = labels[is_labelled, column], predictions[is_labelled, column]
        assert scores[f"{target}_num_labelled"] == is_labelled.sum()
        for name, score in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error), ("r2", r2_score)):
            assert scores[f"{target}_{name}"] == pytest.approx(score(*pair), rel=1e-12)
            assert scores[f"{target}_{name}_low"] < scores[f"{target}_{name}"] < scores[f"{target}_{name}_high"]
    assert scores["standardised_mae"] == pytest.approx((scores["homo_mae"] / 2 + scores["alpha_mae"] / 30) / 2)


def test_by_hand(metric):
    scores = metric.compute(
        predictions=[[1.0], [5.0], [2.0]], references=[[2.0], [2.0], [NAN]], targets=["gap"], num_bootstrap=0
    )
    assert scores == {
        "gap_mae": 2.0,
        "gap_rmse": pytest.approx(5**0.5),
        "gap_r2": 0.0,  # scikit-learn's value for labels that do not vary
        "gap_num_labelled": 2,
        "mean_mae": 2.0,
    }


def test_resamples_of_one_label_have_no_r2(metric):
    predictions, references = [[0.1], [0.4], [0.9]], [[0.1], [0.4], [0.7]]
    scores = metric.compute(predictions=predictions, references=references, targets=["gap"], num_bootstrap=500)
    assert -10 < scores["gap_r2_low"] < scores["gap_r2"]
    assert scores["gap_mae_low"] == 0  # of resamples with one label, too


def test_classification_is_that_of_scikit_learn(metric):
    random = np.random.default_rng(2)
    labels = random.integers(2, size=(100, 2)).astype(float)
    labels[random.random(labels.shape) < 0.2] = NAN
    predictions = np.nan_to_num(labels) + random.normal(size=labels.shape)
    options = {"problem_type": "multi_label_classification", "targets": ["toxic", "bitter"]}
    scores = metric.compute(predictions=predictions, references=labels, num_bootstrap=20, **options)
    for column, target in enumerate(options["targets"]):
        is_labelled = ~np.isnan(labels[:, column])
        pair = labels[is_labelled, column], predictions[is_labelled, column]
        assert scores[f"{target}_roc_auc"] == pytest.approx(roc_auc_score(*pair))
        assert scores[f"{target}_pr_auc"] == pytest.approx(average_precision_score(*pair))
    assert scores["mean_roc_auc"] == pytest.approx((scores["toxic_roc_auc"] + scores["bitter_roc_auc"]) / 2)


def test_what_is_not_defined_is_none_with_its_reason(metric):
    options = {"problem_type": "multi_label_classification", "targets": ["toxic", "bitter"]}
    references = [[1, 1], [1, 0], [1, NAN]]
    scores = metric.compute(predictions=[[0.1, 0.8], [0.2, 0.3], [0.3, 0.1]], references=references, **options)
    assert (scores["toxic_roc_auc"], scores["toxic_reason"]) == (None, "one class only")
    assert scores["mean_roc_auc"] == scores["bitter_roc_auc"] == 1.0
    scores = metric.compute(predictions=[[0.1], [0.2]], references=[[NAN], [1.0]], targets=["gap"], stds=[1.0])
    assert (scores["gap_mae"], scores["gap_reason"], scores["standardised_mae"]) == (None, "1 labels", None)


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        ([[1.0]], [[1.0, 2.0]], {}, r"references have rows of \[2\] values for the targets \['gap'\]"),
        ([[NAN]], [[1.0]], {}, "1 rows of predictions are NaN or infinite, first row 0"),
        ([[1.0]], [[float("inf")]], {}, "1 rows of references are infinite, first row 0"),
        ([[1.0]], [[1.0]], {"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ([[1.0], [2.0]], [[1.0], [2.0]], {"problem_type": "multi_label_classification"}, "they must be 0 or 1"),
    ],
)
def test_bad_input_is_refused(metric, predictions, references, options, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references, targets=["gap"], **options)
