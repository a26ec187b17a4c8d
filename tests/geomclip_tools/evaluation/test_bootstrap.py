"""Intervals agree with SciPy's bootstrap and hand calculations."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from geomclip_tools.evaluation.bootstrap import interval, resample_ratio


@pytest.fixture
def random():
    return np.random.default_rng(20)


def test_the_interval_of_a_mean_is_that_of_scipy(random):
    values = random.exponential(size=60)
    mean, low, high = interval(resample_ratio(values, num_bootstrap=4000))
    expected = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert mean == pytest.approx(values.mean(), abs=1e-12)
    assert (low, high) == pytest.approx(tuple(expected), abs=0.02)
    assert mean - low < high - mean  # skewed like the values


def test_the_interval_of_a_ratio_is_that_of_scipy(random):
    right, stated = random.integers(0, 4, 80), random.integers(3, 7, 80)
    value, low, high = interval(resample_ratio(right, stated, 4000))

    def pooled(right, stated, axis=-1):
        return right.sum(axis=axis) / stated.sum(axis=axis)

    expected = bootstrap((right, stated), pooled, paired=True, n_resamples=4000, method="percentile", rng=1)
    assert value == pytest.approx(right.sum() / stated.sum(), abs=1e-12)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval), abs=0.01)


def test_differences_are_paired(random):
    values = random.normal(size=50)
    draws = resample_ratio(values + 0.25) - resample_ratio(values)  # each resample shifts by the same amount
    assert interval(draws) == pytest.approx((0.25, 0.25, 0.25), abs=1e-12)
    unpaired = resample_ratio(values + 0.25, seed=1) - resample_ratio(values)
    assert interval(unpaired)[1] < 0.1


def test_it_follows_its_seed(random):
    values = random.random(50)
    assert (resample_ratio(values, seed=1) == resample_ratio(values, seed=1)).all()
    assert (resample_ratio(values, seed=1) != resample_ratio(values, seed=2)).any()


def test_nothing_to_count_is_none_and_rare_counts_leave_draws_out():
    assert interval(resample_ratio(np.zeros(5), np.zeros(5))) == (None, None, None)
    value, low, high = interval(resample_ratio([1, 0, 0, 0], [2, 0, 0, 0]))
    assert (value, low, high) == (0.5, 0.5, 0.5)  # resamples that contain row 0
    assert interval(resample_ratio([1, 2], num_bootstrap=0)) == (1.5, None, None)


@pytest.mark.parametrize(
    ("numerators", "denominators", "message"),
    [
        ([], None, r"\(0,\)"),
        ([[1.0]], None, r"\(1, 1\)"),
        ([1, 2], [1], r"\(1,\)"),
        ([1, np.inf], None, "first row 1"),
        ([1, 1, 1], [1, 1, np.nan], "first row 2"),
    ],
)
def test_bad_rows_are_refused(numerators, denominators, message):
    with pytest.raises(ValueError, match=message):
        resample_ratio(numerators, denominators)
