"""Tuning the channel threshold on a target's own episodes, each of which is played once.

A live network does not repeat its traffic, so thresholds cannot be told apart on common random numbers as they are on
``val``: every episode has a stream of its own. The search is local. In each round the best threshold so far and its
neighbours play a few more episodes; the best is then the one with the largest lower confidence bound

    m_i - z sigma / sqrt(n_i),

m_i the mean return over its n_i episodes and sigma the pooled standard deviation of an episode's return within
thresholds, so that one lucky episode does not displace what has been tried often. The numbers are whole and few, and
the response is a cliff, since below the load each packet a slot less costs many violations: no quadratic surface is
fitted, as :mod:`roamrl.envs.live_search` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from roamrl.envs.episodes import Episodes, place_episodes, play_once
from roamrl.envs.family import Family
from roamrl.envs.live_search import LEAST_EPISODES
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.references import ChannelThreshold
from roamrl.envs.urllc.threshold import Threshold, neighbours
from roamrl.envs.urllc.tuning import acting

DOUBT: Final = 1.0
"""Standard errors, z, by which a mean return counts for less."""

TURNS: Final = 40
"""A search gives each threshold of a round so many-th a part of its episodes, and at least one."""


def tune_threshold_on_target(family: Family, task: Task, start: Threshold, episodes: int, seed: int) -> TunedReference:
    """Return the channel threshold moved from where ``val`` left it to what suits a target.

    Args:
        family: The task's family.
        task: The target.
        start: The threshold tuned on ``val``.
        episodes: Most episodes of the target to play; below ``LEAST_EPISODES`` none are, and it stays as it is.
        seed: Seed of their streams and of the order in which neighbours are tried.
    """
    best, parts = start, list[Episodes]()
    returns: dict[Threshold, list[float]] = {}
    rng = np.random.default_rng(seed)
    played = 0
    while played < episodes and episodes >= LEAST_EPISODES:
        block = _round(best, returns, task, max(1, episodes // TURNS), rng)[: episodes - played]
        parts.append(_play(family, task, block, range(played, played + len(block)), seed))
        for threshold, earned in zip(block, parts[-1].returns[0].tolist(), strict=True):
            returns.setdefault(threshold, []).append(earned)
        played += len(block)
        best = most_surely_best(returns)
    return TunedReference(ChannelThreshold(best), asdict(best), Episodes.join(parts) if parts else None)


def most_surely_best(returns: Mapping[Threshold, Sequence[float]]) -> Threshold:
    """Return the threshold whose returns have the largest lower confidence bound.

    Args:
        returns: Returns of the episodes that each threshold has played, one at least.
    """
    repeats = sum(len(own) - 1 for own in returns.values())
    squares = sum(float(np.var(own)) * len(own) for own in returns.values())
    doubt = DOUBT * float(np.sqrt(squares / repeats)) if repeats else 0.0

    def bound(threshold: Threshold) -> float:
        own = returns[threshold]
        return float(np.mean(own)) - doubt / float(np.sqrt(len(own)))

    return max(returns, key=bound)


def _round(
    best: Threshold, returns: dict[Threshold, list[float]], task: Task, each: int, rng: np.random.Generator
) -> list[Threshold]:
    """Return who plays in a round, once an episode: the best so far, then its neighbours, the least tried first."""
    near = neighbours(best, read_config(task.config))
    order = [near[place] for place in rng.permutation(len(near))]
    order.sort(key=lambda threshold: len(returns.get(threshold, ())))
    return [threshold for threshold in (best, *order) for _ in range(each)]


def _play(family: Family, task: Task, offered: Sequence[Threshold], block: range, seed: int) -> Episodes:
    """Play episode e of the block with its own threshold, [1, E]."""
    env = place_episodes(family, [task], block, seed)
    played = play_once(
        env, (1, len(block)), acting(offered, (1, len(block)), read_config(task.config)), family.measures
    )
    env.close()
    return played
