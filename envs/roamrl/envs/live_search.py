"""Search for the few numbers of a policy in episodes that are played once, as a live network plays them.

A live network does not repeat its traffic, so candidates cannot be told apart on common random numbers as they are on
``val``. What an episode gives is a noisy look at a response surface (Box and Wilson, 1951) over x, what differs from
the numbers tuned on ``val`` (in logarithms, where they are scales)::

    J(x) = a + g x - c |x|^2 / 2 + noise,   g ~ N(0, s^2 I)

Every episode plays numbers of its own, in pairs on either side of the best so far; the posterior mean of g, a ridge
regression on all episodes, puts the maximum at g / c. With few episodes the ridge keeps it near 0: near ``val``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.episodes import Episodes

F64 = NDArray[np.float64]

Play = Callable[[F64, range], Episodes]
"""Play episode e of a block with the numbers of its own point: points [E, D] and the block to episodes [1, E]."""

LEAST_EPISODES: Final = 10
"""Fewest episodes whose spread says how noisy they are; with fewer nothing is played and nothing changed."""

LEAST_RIDGE: Final = 1e-9
"""Keeps the regression solvable where returns do not differ."""

ROUND: Final = 50
"""Episodes, about, after which the centre of the search moves to the best so far."""


@dataclass(frozen=True)
class Surface:
    """What is held of the surface before it is seen, returns of an episode being its unit.

    Attributes:
        slope: Standard deviation of the slope along each number, s.
        curvature: Curvature, c.
        spread: Standard deviation of the points played about the centre.
        farthest: Most by which a number may differ from what was tuned on ``val``.
    """

    slope: float
    curvature: float
    spread: float = 0.4
    farthest: float = 1.0


def search_live(play: Play, dimensions: int, surface: Surface, episodes: int, seed: int) -> tuple[F64, Episodes | None]:
    """Return the best point found, [D], and every episode that was played, [1, E]: none below ``LEAST_EPISODES``.

    Args:
        play: Plays the episodes of a block, each of which is asked for once.
        dimensions: Numbers to search, D.
        surface: What is held of the surface.
        episodes: Most episodes to play; an odd last one is left.
        seed: Seed of the points.
    """
    best, tried = np.zeros(dimensions), np.zeros((0, dimensions))
    if episodes < LEAST_EPISODES:
        return best, None
    rng = np.random.default_rng(seed)
    parts: list[Episodes] = []
    for pairs in np.array_split(np.arange(episodes // 2), max(1, episodes // ROUND)):
        step = surface.spread * rng.standard_normal((len(pairs), dimensions))
        points = best + np.concatenate([step, -step])
        parts.append(play(points, range(len(tried), len(tried) + len(points))))
        tried = np.concatenate([tried, points])
        best = summit(tried, np.concatenate([part.returns[0] for part in parts]), surface)
    return best, Episodes.join(parts)


def summit(tried: F64, returns: F64, surface: Surface) -> F64:
    """Return where the surface is highest, [D], given points [E, D] and the returns there, [E]."""
    centred = tried - tried.mean(axis=0)
    heights = returns + surface.curvature / 2.0 * (tried**2).sum(axis=1)
    ridge = max(float(returns.var()) / surface.slope**2, LEAST_RIDGE) * np.eye(tried.shape[1])
    slope = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (heights - heights.mean()))
    return np.asarray(np.clip(slope / surface.curvature, -surface.farthest, surface.farthest))
