"""Regression errors and classification scores of predicted properties, target by target, with scikit-learn.

    metric = evaluate.load("eval/metrics/molecule_property_prediction")
    metric.compute(predictions=[[1.0], [2.5]], references=[[1.1], [2.0]], targets=["gap"])

eval/metrics/molecule_property_prediction/README.md defines each value.
"""

from collections.abc import Callable, Sequence

import datasets
import evaluate
import numpy as np

try:
    from sklearn.metrics import (
        average_precision_score,
        mean_absolute_error,
        r2_score,
        roc_auc_score,
        root_mean_squared_error,
    )
except ImportError as error:
    raise ImportError("this metric needs scikit-learn; run `pip install scikit-learn`") from error

REGRESSION: dict[str, Callable] = {"mae": mean_absolute_error, "rmse": root_mean_squared_error, "r2": r2_score}
ERRORS = ("mae", "rmse")  # the scores that are defined for labels that do not vary
CLASSIFICATION: dict[str, Callable] = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score}

_DESCRIPTION = "MAE, RMSE and R2, or ROC-AUC and PR-AUC, of each property; missing labels are skipped."
_INPUTS = """
Args:
    predictions: (rows, targets) predicted values; for classification, scores, of which only the order matters.
    references: (rows, targets) labels, NaN if missing; for classification, 0 or 1.
    targets: name of each column.
    problem_type: "regression" or "multi_label_classification".
    stds: for regression, the standard deviation of each target's training labels, which scales `standardised_mae`;
        without it, that value is omitted.
    num_bootstrap: number of bootstrap resamples of the rows for the 95 % intervals; 0 omits the intervals.
    seed: random seed of the bootstrap.
Returns:
    A flat dict with the keys `{target}_{name}{suffix}`, where name is mae, rmse or r2 for regression and roc_auc or
    pr_auc for classification, and suffix is empty, _low or _high; `{target}_num_labelled`; and means over the targets:
    `mean_mae`, which is meaningful only if all targets share a unit, and `standardised_mae`, or `mean_roc_auc` and
    `mean_pr_auc`. A value is None if it is undefined because there are fewer than two labels or only one class;
    `{target}_reason` says which.
Raises:
    ValueError: if the input is empty, ragged or of unequal shape, if a prediction is not finite, or if the label of a
        class is neither 0 nor 1.
Examples:
    >>> metric = evaluate.load("eval/metrics/molecule_property_prediction")
    >>> metric.compute(predictions=[[1.0], [3.0]], references=[[1.0], [2.0]], targets=["gap"])["gap_mae"]
    0.5
"""


class MoleculePropertyPrediction(evaluate.Metric):
    """Regression errors or classification scores; see `inputs_description`.

    `evaluate` stores predictions and labels as float64.
    """

    def _info(self) -> evaluate.MetricInfo:
        row = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": row, "references": row}),
        )

    def _compute(
        self,
        predictions: Sequence,
        references: Sequence,
        targets: Sequence[str],
        problem_type: str = "regression",
        stds: Sequence[float] | None = None,
        num_bootstrap: int = 1000,
        seed: int = 0,
    ) -> dict[str, float | int | str | None]:
        predicted, labels = _columns(predictions, references, targets)
        if problem_type not in ("regression", "multi_label_classification"):
            raise ValueError(
                f"problem_type is {problem_type!r}; it must be 'regression' or 'multi_label_classification'"
            )
        is_regression = problem_type == "regression"
        scores = REGRESSION if is_regression else CLASSIFICATION
        results = {}
        for index, target in enumerate(targets):
            is_labelled = ~np.isnan(labels[:, index])
            pair = predicted[is_labelled, index], labels[is_labelled, index]
            found = _of_target(scores, *pair, num_bootstrap, seed)
            results |= {f"{target}_{key}": value for key, value in found.items()}
        return results | _over_targets(results, targets, is_regression, stds)


def _columns(predictions: Sequence, references: Sequence, targets: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and labels as (rows, targets) float64."""
    both = {"predictions": predictions, "references": references}
    for name, rows in both.items():
        widths = {len(row) for row in rows}
        if widths != {len(targets)}:
            raise ValueError(
                f"{name} have rows of {sorted(widths)} values for the targets {list(targets)}; "
                "every row needs one value per target"
            )
    predicted, labels = (np.asarray(rows, dtype=np.float64) for rows in both.values())
    if bad := np.flatnonzero(~np.isfinite(predicted).all(axis=1)).tolist():
        raise ValueError(f"{len(bad)} rows of predictions are NaN or infinite, first row {bad[0]}; all must be finite")
    if bad := np.flatnonzero(np.isinf(labels).any(axis=1)).tolist():
        raise ValueError(f"{len(bad)} rows of references are infinite, first row {bad[0]}; use NaN for a missing label")
    return predicted, labels


def _of_target(
    scores: dict[str, Callable], predicted: np.ndarray, labels: np.ndarray, num_bootstrap: int, seed: int
) -> dict[str, float | int | str | None]:
    """Score one target on its labelled rows."""
    results: dict[str, float | int | str | None] = {"num_labelled": len(labels)}
    if scores is CLASSIFICATION and not set(np.unique(labels)) <= {0.0, 1.0}:
        raise ValueError(f"the labels of a class are {np.unique(labels)[:5].tolist()}; they must be 0 or 1")
    distinct = len(np.unique(labels)) if scores is CLASSIFICATION else len(labels)
    if distinct < 2:
        reason = "one class only" if scores is CLASSIFICATION and len(labels) else f"{len(labels)} labels"
        return results | dict.fromkeys(scores) | {"reason": reason}
    random = np.random.default_rng(seed)
    draws = [random.integers(len(labels), size=len(labels)) for _ in range(num_bootstrap)]
    varied = [draw for draw in draws if len(np.unique(labels[draw])) > 1]
    for name, score in scores.items():
        results[name] = float(score(labels, predicted))
        used = draws if name in ERRORS else varied
        if used:
            samples = [score(labels[draw], predicted[draw]) for draw in used]
            results |= dict(zip((f"{name}_low", f"{name}_high"), map(float, np.percentile(samples, (2.5, 97.5)))))
    return results


def _over_targets(
    results: dict, targets: Sequence[str], is_regression: bool, stds: Sequence[float] | None
) -> dict[str, float | None]:
    """Average each score over the targets for which it is defined."""

    def mean(values: list) -> float | None:
        present = [value for value in values if value is not None]
        return float(np.mean(present)) if present else None

    if not is_regression:
        return {f"mean_{name}": mean([results[f"{target}_{name}"] for target in targets]) for name in CLASSIFICATION}
    errors = [results[f"{target}_mae"] for target in targets]
    means = {"mean_mae": mean(errors)}
    if stds is not None:
        means["standardised_mae"] = mean([None if e is None else e / std for e, std in zip(errors, stds, strict=True)])
    return means
