"""What a choice of source costs, and how good predicted gains are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata


def regret(scores: npt.ArrayLike, places: Sequence[int]) -> float:
    """Return the best of scores [K] less the mean of those at the chosen places: 0 for the best source."""
    known = np.asarray(scores, dtype=np.float64)
    return float(known.max() - known[list(places)].mean())


def explained_share(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return R^2 of gains [K, V] foretold for tasks left out, against the mean gain of the other tasks.

    R^2 = 1 - sum (g - g')^2 / sum (g - mean of the other tasks' gains)^2: 0 is no better than that mean, 1 is exact.
    """
    known, foretold = np.asarray(actual, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    others = [np.delete(known, place, axis=1).mean() for place in range(known.shape[1])]
    spread = float(((known - np.asarray(others)) ** 2).sum())
    return 1.0 - float(((known - foretold) ** 2).sum()) / spread if spread > 0.0 else float("nan")


def rank_correlation(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation of gains [K, V] over the sources of a task, its mean over tasks.

    Tasks on which all sources are alike, or are foretold alike, have no order and do not count; NaN if none does.
    """
    pairs = zip(np.asarray(actual, dtype=np.float64).T, np.asarray(predicted, dtype=np.float64).T, strict=True)
    found = [_spearman(known, foretold) for known, foretold in pairs]
    ordered = [value for value in found if np.isfinite(value)]
    return float(np.mean(ordered)) if ordered else float("nan")


def _spearman(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    a, b = np.asarray(rankdata(first)), np.asarray(rankdata(second))
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
