"""How sure is a mean or a ratio over the rows of a test set?"""

import numpy as np


def resample_ratio(
    numerators: np.ndarray, denominators: np.ndarray | None = None, num_bootstrap: int = 1000, seed: int = 0
) -> np.ndarray:
    """Sum of numerators over sum of denominators; on all rows first, then on rows drawn with replacement.

    The draws depend on the number of rows and the seed only, so that the difference of two results on the same rows is
    that of a paired bootstrap.

    Args:
        numerators: (rows,).
        denominators: (rows,); left out, 1 a row, which gives the mean.
    Returns:
        (1 + num_bootstrap,) float64; NaN where the denominators sum to 0.
    Raises:
        ValueError: on no rows, unequal shapes or values that are not finite.
    """
    numerators = np.asarray(numerators, dtype=np.float64)
    denominators = np.ones_like(numerators) if denominators is None else np.asarray(denominators, dtype=np.float64)
    if numerators.ndim != 1 or not len(numerators) or numerators.shape != denominators.shape:
        raise ValueError(
            f"numerators {numerators.shape} and denominators {denominators.shape} must be (rows,), rows > 0"
        )
    bad = np.flatnonzero(~(np.isfinite(numerators) & np.isfinite(denominators)))
    if len(bad):
        raise ValueError(f"{len(bad)} rows are NaN or infinite, first row {bad[0]}; repair them")
    num_rows = len(numerators)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=num_bootstrap)  # times a row is drawn
    times = np.concatenate([np.ones((1, num_rows)), drawn])
    with np.errstate(invalid="ignore"):
        return (times @ numerators) / (times @ denominators)


def interval(samples: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Value and ends of the 95 % percentile interval of `resample_ratio` or of a difference of two; None for NaN.

    Draws on which there was nothing to count are left out of the interval.
    """
    value, draws = samples[0], samples[1:][~np.isnan(samples[1:])]
    if np.isnan(value) or not len(draws):
        return (None if np.isnan(value) else float(value), None, None)
    return float(value), *(float(end) for end in np.percentile(draws, (2.5, 97.5)))
