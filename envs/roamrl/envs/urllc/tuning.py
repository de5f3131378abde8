"""Tuning the three numbers of the channel threshold: exactly, by the chain, or on episodes common to all.

``python -m roamrl.envs.urllc.tuning`` prints the best on ``val`` and its mean score on every split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Act, Episodes, play
from roamrl.envs.family import Family, get_family
from roamrl.envs.task import Task
from roamrl.envs.urllc.config import UrllcConfig, read_config
from roamrl.envs.urllc.env import UrllcEnv, joint_actions
from roamrl.envs.urllc.references import ChannelThreshold, Constant
from roamrl.envs.urllc.threshold import Threshold, thresholds

F64 = NDArray[np.float64]


def tune_threshold(
    family: Family, tasks: Sequence[Task], *, episodes: int, seed: int, worth: F64 | None = None
) -> Threshold:
    """Return the channel threshold with the largest mean return in episodes of tasks of one config.

    All thresholds play the same episodes (common random numbers), so that a few tell them apart.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config, such as ``val``.
        episodes: Episodes of each task.
        seed: Seed of the episodes.
        worth: Weight of each task's return, [T]; 1/(J_oracle - J_trivial) tunes the mean score. Equal by default.
    """
    offered = thresholds(read_config(tasks[0].config))
    returns = _play_all(family, tasks, offered, episodes, seed).returns.mean(axis=1)
    return offered[int(np.argmax(returns.reshape(len(offered), len(tasks)) @ _weights(tasks, worth)))]


def _play_all(
    family: Family, tasks: Sequence[Task], offered: Sequence[Threshold], episodes: int, seed: int
) -> Episodes:
    """Play the same episodes of T tasks by every threshold, threshold-major: [thresholds * T, E]."""
    each = [threshold for threshold in offered for _ in tasks]
    act = acting(each, (len(each), 1), read_config(tasks[0].config))
    return play(family, [*tasks] * len(offered), act, episodes=episodes, seed=seed)


def acting(offered: Sequence[Threshold], shape: tuple[int, int], config: UrllcConfig) -> Act:
    """Return what acts by a threshold of its own in each row, or each column, of an environment.

    Args:
        offered: The thresholds, shape[0] * shape[1] of them.
        shape: How they lie: (R, 1) for one a row, (1, E) for one a column.
        config: The rows' config.
    """
    base, extra, gain = (
        np.array([getattr(entry, name) for entry in offered]).reshape(*shape, 1) for name in ("base", "extra", "gain")
    )

    def act(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        best = cast(UrllcEnv, env).gains.max(axis=2).reshape(*obs.shape[:2], config.users)
        return joint_actions(base + extra * (best >= gain), config)

    return act


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
