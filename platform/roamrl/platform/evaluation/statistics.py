"""Statistics over runs: interquartile mean, stratified bootstrap, probability of improvement, profiles.

A *stratum* is the array of one number a run (seed) on one task; a sample is the list of its strata, so that the
bootstrap resamples seeds within tasks and never tasks (Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep
reinforcement learning at the edge of the statistical precipice", NeurIPS 2021). Where a task has a single run there is
nothing to resample: the interval is then *not available* (NaN), instead of a width of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

Floats = npt.NDArray[np.float64]
Strata = Sequence[npt.ArrayLike]
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: number of resamples, their confidence, and the seed."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def generator(self) -> np.random.Generator:
        """Return a fresh generator, so that a number does not depend on which were computed before it."""
        return np.random.default_rng(self.seed)

    def interval(self, draws: Floats) -> tuple[Floats, Floats]:
        """Return the percentile interval of draws [R, ...] over the first axis, both ends [...]."""
        tail = 50.0 * (1.0 - self.confidence)
        low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
        return np.asarray(low), np.asarray(high)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; the interval's ends are NaN where it is not available."""

    value: float
    low: float
    high: float
    runs: int

    @property
    def has_interval(self) -> bool:
        """Whether the interval could be computed."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def negative(self) -> Estimate:
        """Return the estimate of the opposite number."""
        return Estimate(-self.value, -self.high, -self.low, self.runs)


@dataclass(frozen=True)
class Band:
    """A curve with its pointwise interval, each [K]."""

    value: Floats
    low: Floats
    high: Floats


def iqm(values: npt.ArrayLike, axis: int = -1) -> Floats:
    """Return the interquartile mean along an axis: the mean without the lowest and the highest quarter.

    As in Agarwal et al. (2021) ``floor(n / 4)`` values are cut at each end, so that below four it is the mean.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    if count == 0:
        raise ValueError("the interquartile mean of nothing is not defined")
    cut = count // 4
    kept = np.take(ordered, np.arange(cut, count - cut), axis=axis)
    return np.asarray(kept.mean(axis=axis))


def as_strata(strata: Strata) -> list[Floats]:
    """Return the strata as float arrays [n_s, ...], empty ones left out; all must be finite."""
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    arrays = [array for array in arrays if array.shape[0] > 0]
    if not arrays:
        raise ValueError("no runs: expected at least one stratum with one value")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a run's value is not finite; leave such runs out and count them")
    return arrays


def resamplable(strata: Sequence[Floats]) -> bool:
    """Whether every stratum has at least two runs, without which a stratified interval would be too narrow."""
    return all(stratum.shape[0] >= 2 for stratum in strata)


def resampled_rows(sizes: Sequence[int], resamples: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw row numbers [R, N] into the concatenated strata, with replacement, each stratum keeping its size."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    parts = [start + generator.integers(0, size, (resamples, size)) for start, size in zip(starts, sizes, strict=True)]
    return np.concatenate(parts, axis=1)


def stratified_bootstrap_interval(
    strata: Strata, statistic: Statistic = iqm, bootstrap: Bootstrap = Bootstrap()
) -> Estimate:
    """Return a statistic of all runs with its stratified-bootstrap percentile interval.

    Args:
        strata: One array [n_s] of runs a task.
        statistic: Reduces the last axis of an array [..., N], e.g. `iqm`.
        bootstrap: Resamples, confidence, seed.
    """
    arrays = as_strata(strata)
    pooled = np.concatenate(arrays)
    value = float(statistic(pooled))
    if not resamplable(arrays):
        return Estimate(value, np.nan, np.nan, pooled.size)
    rows = resampled_rows([array.size for array in arrays], bootstrap.resamples, bootstrap.generator())
    low, high = bootstrap.interval(statistic(pooled[rows]))
    return Estimate(value, float(low), float(high), pooled.size)


def iqm_difference(ours: Strata, theirs: Strata, bootstrap: Bootstrap = Bootstrap()) -> Estimate:
    """Return IQM(ours) - IQM(theirs) with the interval of both resampled on their own."""
    first, second = as_strata(ours), as_strata(theirs)
    a, b = np.concatenate(first), np.concatenate(second)
    value = float(iqm(a) - iqm(b))
    if not (resamplable(first) and resamplable(second)):
        return Estimate(value, np.nan, np.nan, a.size)
    generator = bootstrap.generator()
    a_rows = resampled_rows([array.size for array in first], bootstrap.resamples, generator)
    b_rows = resampled_rows([array.size for array in second], bootstrap.resamples, generator)
    low, high = bootstrap.interval(iqm(a[a_rows]) - iqm(b[b_rows]))
    return Estimate(value, float(low), float(high), a.size)


def iqm_above(ours: Strata, levels: Sequence[float], bootstrap: Bootstrap = Bootstrap()) -> Estimate:
    """Return IQM(ours) less that of a policy without seeds, `levels` being its one number a task."""
    arrays = as_strata(ours)
    level = float(iqm(np.repeat(np.asarray(levels, dtype=np.float64), [array.size for array in arrays])))
    found = stratified_bootstrap_interval(arrays, iqm, bootstrap)
    return Estimate(found.value - level, found.low - level, found.high - level, found.runs)


def curve_band(strata: Strata, bootstrap: Bootstrap = Bootstrap()) -> Band:
    """Return the IQM of curves with its pointwise interval; each stratum is an array [n_s, K] of runs' curves."""
    arrays = as_strata(strata)
    pooled = np.concatenate(arrays)
    value = iqm(pooled, axis=0)
    if not resamplable(arrays):
        missing = np.full(value.shape, np.nan)
        return Band(value, missing, missing)
    rows = resampled_rows([array.shape[0] for array in arrays], bootstrap.resamples, bootstrap.generator())
    ends = [bootstrap.interval(iqm(pooled[:, point][rows])) for point in range(pooled.shape[1])]
    return Band(value, np.array([low for low, _ in ends]), np.array([high for _, high in ends]))


def win_matrix(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> Floats:
    """Return [n_a, n_b]: 1 where a run of ours beats one of theirs, a half where they tie, else 0."""
    a, b = np.asarray(ours, dtype=np.float64)[:, None], np.asarray(theirs, dtype=np.float64)[None, :]
    return np.asarray((a > b) + 0.5 * (a == b), dtype=np.float64)


def probability_of_improvement(ours: Strata, theirs: Strata, bootstrap: Bootstrap = Bootstrap()) -> Estimate:
    """Return P(X > Y) of a run X of ours and a run Y of theirs on the same task, averaged over tasks.

    P = 1/M sum_m 1/(N K) sum_ij S(x_mi, y_mj), S = 1, 1/2, 0 for greater, equal, less (Agarwal et al., 2021, eq. 3).
    The strata of both are the same tasks in the same order.
    """
    first, second = as_strata(ours), as_strata(theirs)
    wins = _win_matrices(first, second)
    return _win_probability(wins, resamplable(first) and resamplable(second), bootstrap)


def probability_above(ours: Strata, levels: Sequence[float], bootstrap: Bootstrap = Bootstrap()) -> Estimate:
    """Return P(X > level) averaged over tasks, `levels` being the one number a task of a policy without seeds."""
    first = as_strata(ours)
    wins = _win_matrices(first, [np.array([level]) for level in levels])
    return _win_probability(wins, resamplable(first), bootstrap)


def _win_matrices(ours: Sequence[Floats], theirs: Sequence[Floats]) -> list[Floats]:
    if len(ours) != len(theirs):
        raise ValueError(f"both samples need the same tasks, got {len(ours)} and {len(theirs)}")
    return [win_matrix(a, b) for a, b in zip(ours, theirs, strict=True)]


def _win_probability(wins: Sequence[Floats], with_interval: bool, bootstrap: Bootstrap) -> Estimate:
    """Average win matrices over tasks, with the interval of both sides' runs resampled."""
    value = float(np.mean([win.mean() for win in wins]))
    runs = sum(win.shape[0] for win in wins)
    if not with_interval:
        return Estimate(value, np.nan, np.nan, runs)
    generator = bootstrap.generator()
    draws = np.mean([_resampled_win_share(win, bootstrap.resamples, generator) for win in wins], axis=0)
    low, high = bootstrap.interval(draws)
    return Estimate(value, float(low), float(high), runs)


def _resampled_win_share(wins: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """Bootstrap the mean of a win matrix over its rows and columns: multinomial weights, [R]."""
    n_a, n_b = wins.shape
    rows = generator.multinomial(n_a, np.full(n_a, 1.0 / n_a), size=resamples)
    columns = generator.multinomial(n_b, np.full(n_b, 1.0 / n_b), size=resamples)
    return np.asarray(((rows @ wins) * columns).sum(axis=1) / (n_a * n_b))


def permutation_p_value(ours: Strata, theirs: Strata, bootstrap: Bootstrap = Bootstrap()) -> float:
    """Return the two-sided p-value of the probability of improvement under swapped labels within tasks.

    With few seeds the bootstrap of two samples that do not overlap has no width, and would call two runs against two
    a sure win; this test does not (2 against 2 on one task: p >= 1/3).
    """
    first, second = as_strata(ours), as_strata(theirs)
    generator = bootstrap.generator()
    observed, drawn = 0.0, np.zeros(bootstrap.resamples)
    for a, b in zip(first, second, strict=True):
        ranks = np.asarray(rankdata(np.concatenate([a, b])), dtype=np.float64)
        shuffled = generator.permuted(np.broadcast_to(ranks, (bootstrap.resamples, ranks.size)), axis=1)
        offset, pairs = a.size * (a.size + 1) / 2.0, float(a.size * b.size)
        observed += float((ranks[: a.size].sum() - offset) / pairs - 0.5)
        drawn += (shuffled[:, : a.size].sum(axis=1) - offset) / pairs - 0.5
    return _two_sided(observed, drawn)


def sign_flip_p_value(differences: Strata, bootstrap: Bootstrap = Bootstrap()) -> float:
    """Return the two-sided p-value of the mean difference to a policy without seeds, by flipping signs of runs."""
    arrays = as_strata(differences)
    generator = bootstrap.generator()
    observed, drawn = 0.0, np.zeros(bootstrap.resamples)
    for array in arrays:
        signs = generator.integers(0, 2, (bootstrap.resamples, array.size)) * 2 - 1
        observed += float(array.mean())
        drawn += (signs * array).mean(axis=1)
    return _two_sided(observed, drawn)


def _two_sided(observed: float, drawn: Floats) -> float:
    """Return the share of draws at least as far from 0 as the observed one, the observed one counted with them."""
    extreme = np.count_nonzero(np.abs(drawn) >= abs(observed) - 1e-12)
    return float((extreme + 1) / (drawn.size + 1))


def performance_profile(strata: Strata, thresholds: npt.ArrayLike, bootstrap: Bootstrap = Bootstrap()) -> Band:
    """Return the share of runs whose score is above each threshold [K], with its pointwise interval."""
    levels = np.asarray(thresholds, dtype=np.float64)
    above = [(array[:, None] > levels[None, :]).astype(np.float64) for array in as_strata(strata)]
    pooled = np.concatenate(above)
    value = np.asarray(pooled.mean(axis=0))
    if not resamplable(above):
        missing = np.full(value.shape, np.nan)
        return Band(value, missing, missing)
    generator = bootstrap.generator()
    totals = np.zeros((bootstrap.resamples, levels.size))
    for stratum in above:
        size = stratum.shape[0]
        totals += generator.multinomial(size, np.full(size, 1.0 / size), size=bootstrap.resamples) @ stratum
    low, high = bootstrap.interval(totals / pooled.shape[0])
    return Band(value, low, high)


def area_under_adaptation_curve(episodes: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """Return the mean height of score over log(1 + n), by the trapezoidal rule: a constant score gives itself.

    Args:
        episodes: Target episodes n [K], increasing, K >= 2.
        scores: Scores [..., K].
    """
    x = np.log1p(np.asarray(episodes, dtype=np.float64))
    y = np.asarray(scores, dtype=np.float64)
    if x.size < 2 or not np.all(np.diff(x) > 0):
        raise ValueError("the area needs at least two increasing numbers of target episodes")
    return np.asarray(np.trapezoid(y, x, axis=-1) / (x[-1] - x[0]))


def worst_share_mean(values: npt.ArrayLike, share: float = 0.1) -> float:
    """Return the mean of the lowest share of the runs (at least one run): the worst decile by default."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = max(1, int(np.ceil(share * ordered.size - 1e-9)))
    return float(ordered[:count].mean())


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """Return a share with its score interval (Wilson, 1927), which stays inside [0, 1] and works at 0 and at 1."""
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"expected 0 <= successes <= trials and trials > 0, got {successes} of {trials}")
    z = float(norm.ppf(0.5 + confidence / 2.0))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)), trials)
