"""Tuning the three numbers of the channel threshold: exactly, by the chain, or from episodes of given tasks.

``python -m roamrl.envs.urllc.tuning`` prints the best on ``val`` and its mean score on every split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Episodes, play
from roamrl.envs.family import Family, get_family
from roamrl.envs.task import Task
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.env import UrllcEnv, joint_actions
from roamrl.envs.urllc.references import ChannelThreshold, Constant
from roamrl.envs.urllc.threshold import Threshold, neighbours, thresholds

F64 = NDArray[np.float64]

SHARES: Final = 40
"""A search spends its episodes on at least so many thresholds, if it has them; more are spent on each."""


def tune_threshold(
    family: Family, tasks: Sequence[Task], *, episodes: int, seed: int, worth: F64 | None = None
) -> Threshold:
    """Return the channel threshold with the largest mean return in episodes of tasks of one config.

    All thresholds play the same episodes (common random numbers), so that a few tell them apart.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config: ``val``, or the one target of a few-sample arm.
        episodes: Episodes of each task.
        seed: Seed of the episodes.
        worth: Weight of each task's return, [T]; 1/(J_oracle - J_trivial) tunes the mean score. Equal by default.
    """
    offered = thresholds(read_config(tasks[0].config))
    returns = _play_all(family, tasks, offered, episodes, seed).returns.mean(axis=1)
    return offered[int(np.argmax(returns.reshape(len(offered), len(tasks)) @ _weights(tasks, worth)))]


def climb(
    family: Family, task: Task, *, episodes: int, seed: int, start: Threshold
) -> tuple[Threshold, Episodes | None]:
    """Return the best channel threshold that a search from a known one finds, all its trials together in few episodes.

    Steepest ascent: the neighbours of the best so far (one packet or one gain level away) play an episode each, the
    same for all (or several, where there are many to spend), until none is better or the episodes are spent.

    Args:
        family: The task's family.
        task: The task.
        episodes: Most episodes to play; below 2 there is nothing to compare.
        seed: Seed of the episodes.
        start: Where to begin.

    Returns:
        The threshold, and all episodes played, [1, E] (None for none).
    """
    each = max(1, episodes // SHARES)
    tried: dict[Threshold, float] = {}
    played: list[Episodes] = []
    best, waiting = start, [start]
    left = episodes // each if episodes > 1 else 0
    while left and waiting:
        batch = waiting[:left]
        got = _play_all(family, [task], batch, each, seed)
        tried |= zip(batch, got.returns.mean(axis=1).tolist(), strict=True)
        played.append(got)
        left -= len(batch)
        best = max(tried, key=tried.__getitem__)
        waiting = [near for near in neighbours(best, read_config(task.config)) if near not in tried]
    return best, _in_a_row(played) if played else None


def _play_all(
    family: Family, tasks: Sequence[Task], offered: Sequence[Threshold], episodes: int, seed: int
) -> Episodes:
    """Play the same episodes of T tasks by every threshold, threshold-major: [thresholds * T, E]."""
    config = read_config(tasks[0].config)
    base, extra, gain = (
        np.repeat([getattr(entry, name) for entry in offered], len(tasks))[:, None, None]
        for name in ("base", "extra", "gain")
    )

    def act(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        best = cast(UrllcEnv, env).gains.max(axis=2).reshape(*obs.shape[:2], config.users)
        return joint_actions(base + extra * (best >= gain), config)

    return play(family, [*tasks] * len(offered), act, episodes=episodes, seed=seed)


def _in_a_row(played: Sequence[Episodes]) -> Episodes:
    """Return episodes of one task as one row, [1, E]."""
    names = played[0].measures
    return Episodes(
        np.concatenate([part.returns.ravel() for part in played])[None],
        {name: np.concatenate([part.measures[name].ravel() for part in played])[None] for name in names},
    )


def tune_threshold_exactly(tasks: Sequence[Task], worth: F64 | None = None) -> Threshold:
    """Return the channel threshold with the largest mean reward in the long run on tasks of one config.

    Args:
        tasks: T tasks of one config whose users do not compete for blocks.
        worth: Weight of each task's reward, [T]; equal by default.

    Raises:
        InputError: If users compete for blocks, so that their chain is not known.
    """
    offered = thresholds(read_config(tasks[0].config))
    policies = [ChannelThreshold(entry) for entry in offered]
    rewards = np.array([[policy.long_run(task).reward for task in tasks] for policy in policies])
    return offered[int(np.argmax(rewards @ _weights(tasks, worth)))]


def _weights(tasks: Sequence[Task], worth: F64 | None) -> F64:
    return np.full(len(tasks), 1.0 / len(tasks)) if worth is None else np.asarray(worth, np.float64)


def main() -> None:
    """Print the best threshold on ``val``, and its mean score on every split."""
    from roamrl.envs.urllc.splits import gaps

    family = get_family("urllc-v1")
    splits = family.splits(family.config())
    best = tune_threshold_exactly(splits["val"].tasks, 1.0 / gaps(splits["val"].tasks))
    print(best)
    trivial, tuned = Constant(), ChannelThreshold(best)
    for name, split in splits.items():
        gain = np.array([tuned.long_run(task).reward - trivial.long_run(task).reward for task in split])
        print(f"{name:<12} mean score {float((gain / gaps(split.tasks)).mean()):8.3f}")


if __name__ == "__main__":
    main()
