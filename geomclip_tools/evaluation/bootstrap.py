"""Bootstrap confidence intervals of means and ratios over the rows of a test set."""

import numpy as np


def resample_ratio(
    numerators: np.ndarray, denominators: np.ndarray | None = None, num_bootstrap: int = 1000, seed: int = 0
) -> np.ndarray:
    """Divide the sum of the numerators by the sum of the denominators, for all rows and for bootstrap resamples.

    The resamples depend only on the number of rows and on the seed. The difference of two results on the same rows is
    therefore a paired bootstrap.

    Args:
        numerators: (rows,).
        denominators: (rows,); None stands for ones, which gives the mean.
        num_bootstrap: number of resamples.
        seed: random seed of the resamples.
    Returns:
        (1 + num_bootstrap,) float64, first the ratio for all rows; NaN if the denominators sum to 0.
    Raises:
        ValueError: if there are no rows, the shapes differ or a value is not finite.
    """
    numerators = np.asarray(numerators, dtype=np.float64)
    denominators = np.ones_like(numerators) if denominators is None else np.asarray(denominators, dtype=np.float64)
    if numerators.ndim != 1 or not len(numerators) or numerators.shape != denominators.shape:
        raise ValueError(
            f"numerators {numerators.shape} and denominators {denominators.shape} must be (rows,), with at least 1 row"
        )
    bad = np.flatnonzero(~(np.isfinite(numerators) & np.isfinite(denominators)))
    if len(bad):
        raise ValueError(f"{len(bad)} rows are NaN or infinite, first row {bad[0]}; all values must be finite")
    num_rows = len(numerators)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=num_bootstrap)  # draws of each row
    times = np.concatenate([np.ones((1, num_rows)), drawn])
    with np.errstate(invalid="ignore"):
        return (times @ numerators) / (times @ denominators)


def interval(samples: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Return the value and the bounds of its 95 % percentile interval; None for NaN.

    Args:
        samples: (1 + num_bootstrap,) as `resample_ratio` returns them, or the difference of two such results. The
            interval ignores NaN.
    """
    value, draws = samples[0], samples[1:][~np.isnan(samples[1:])]
    if np.isnan(value) or not len(draws):
        return (None if np.isnan(value) else float(value), None, None)
    return float(value), *(float(end) for end in np.percentile(draws, (2.5, 97.5)))
