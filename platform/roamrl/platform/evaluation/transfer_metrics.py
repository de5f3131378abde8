"""What transfer is worth on a target: O-RAN transfer metrics, episodes to the specialist, negative transfer.

The O-RAN metrics are those of Nagib, Abou-zeid and Hassanein (IEEE JSAC 2024, DOI 10.1109/JSAC.2023.3336191): reward
at the start, share of runs that converge, steps until they do, variance afterwards. Here they are taken on scores, so
that tasks can be averaged, with every parameter explicit. A training curve has one point an update: ``score[i]`` is
the mean over the target episodes in ``(episodes[i-1], episodes[i]]``, so points are weighted by what they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Convergence:
    """Where a run entered the band around the specialist for good, and how steady it was from there.

    `step` and `episode` are NaN for a run that did not converge; `variance` also where fewer than two points follow.
    """

    step: float
    episode: float
    variance: float

    @property
    def converged(self) -> bool:
        """Whether the run entered the band and stayed."""
        return bool(np.isfinite(self.step))


def covered_mean(position: npt.ArrayLike, score: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike) -> Floats:
    """Return the mean score over the stretches (start, end] of a curve whose points cover what precedes them.

    Args:
        position: End of what each point covers [I] (episodes or steps), increasing, above 0.
        score: Mean over what each point covers [I].
        start: Starts of the stretches [K], at least 0.
        end: Ends of the stretches [K], at most the last position, above `start`.
    """
    x = np.concatenate([[0.0], np.asarray(position, dtype=np.float64)])
    total = np.concatenate([[0.0], np.cumsum(np.diff(x) * np.asarray(score, dtype=np.float64))])
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    return np.asarray((np.interp(b, x, total) - np.interp(a, x, total)) / (b - a))


def moving_average(episodes: npt.ArrayLike, score: npt.ArrayLike, window: int) -> Floats:
    """Return the mean score over the last `window` points at each point [I] (fewer at the start), by episodes."""
    end = np.asarray(episodes, dtype=np.float64)
    start = np.concatenate([np.zeros(min(window, end.size)), end[:-window]])
    return covered_mean(end, score, start, end)


def initial_reward(env_steps: npt.ArrayLike, score: npt.ArrayLike, horizon: float, fraction: float = 0.01) -> float:
    """Return the mean training score over the first `fraction` of the `horizon` of target steps."""
    steps = np.asarray(env_steps, dtype=np.float64)
    end = min(fraction * horizon, float(steps[-1]))
    return float(covered_mean(steps, score, 0.0, end))


def convergence(
    episodes: npt.ArrayLike,
    env_steps: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    ceiling: float,
    tolerance: float,
    window: int,
) -> Convergence:
    """Return where the moving average comes within `tolerance` of the ceiling (or above it) and stays to the end.

    The band is open above: a run that outdoes the specialist counts as converged.

    Args:
        episodes: Target episodes at each point [I].
        env_steps: Target steps at each point [I].
        score: Training score of each point [I].
        ceiling: The specialist's score on the task.
        tolerance: Half-width of the band, in score.
        window: Points (updates) in the moving average.
    """
    n, steps = np.asarray(episodes, dtype=np.float64), np.asarray(env_steps, dtype=np.float64)
    raw = np.asarray(score, dtype=np.float64)
    outside = np.flatnonzero(moving_average(n, raw, window) < ceiling - tolerance)
    first = 0 if outside.size == 0 else int(outside[-1]) + 1
    if first >= n.size:
        return Convergence(np.nan, np.nan, np.nan)
    weights = np.diff(np.concatenate([[0.0], n]))[first:]
    tail = raw[first:]
    variance = np.nan
    if tail.size >= 2:
        variance = float(np.average((tail - np.average(tail, weights=weights)) ** 2, weights=weights))
    return Convergence(float(steps[first]), float(n[first]), variance)


def episodes_to_ceiling(episodes: npt.ArrayLike, score: npt.ArrayLike, ceiling: float, fraction: float = 0.95) -> float:
    """Return n*, the fewest target episodes whose score is at least `fraction` of the specialist's; inf if never.

    NaN where the specialist is no better than the trivial policy (score <= 0), as the question has no meaning then.
    """
    if not ceiling > 0.0:
        return float("nan")
    n = np.asarray(episodes, dtype=np.float64)
    reached = np.flatnonzero(np.asarray(score, dtype=np.float64) >= fraction * ceiling)
    return float(n[reached[0]]) if reached.size else float("inf")


def score_at_steps(env_steps: npt.ArrayLike, score: npt.ArrayLike, at: npt.ArrayLike) -> Floats:
    """Return a run's score at given target steps [K], linear in log(1 + steps); NaN outside what was measured."""
    known = np.log1p(np.asarray(env_steps, dtype=np.float64))
    wanted = np.log1p(np.asarray(at, dtype=np.float64))
    found = np.interp(wanted, known, np.asarray(score, dtype=np.float64))
    return np.where((wanted < known[0] - 1e-12) | (wanted > known[-1] + 1e-12), np.nan, found)


def shortfall(
    env_steps: npt.ArrayLike, score: npt.ArrayLike, scratch_steps: npt.ArrayLike, scratch_score: npt.ArrayLike
) -> Floats:
    """Return how far a run is below scratch at equal target steps [K]; positive is negative transfer."""
    baseline = score_at_steps(scratch_steps, scratch_score, env_steps)
    return np.asarray(baseline - np.asarray(score, dtype=np.float64))
