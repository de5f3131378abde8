"""From a rollout to n-step transitions: what an action earned within n steps, and where it led."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.population.rollout import Rollout


@dataclass(frozen=True)
class Transitions:
    """R transitions of each of P members.

    Attributes:
        obs: Observations acted on, [P, R, *O] float32.
        actions: [P, R] int64.
        rewards: Discounted rewards of up to n steps, by part, [P, R, K] float32 (K = 1 without parts).
        discounts: Discount on what follows, 0 after a termination, [P, R] float32.
        next_obs: Observations that follow, [P, R, *O] float32.
    """

    obs: NDArray[np.float32]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    discounts: NDArray[np.float32]
    next_obs: NDArray[np.float32]


def n_step_transitions(rollout: Rollout, n: int) -> Transitions:
    """Return a transition for every step of a rollout.

    From step t the rewards of the steps t .. t + m - 1 are summed, each discounted by what lies before it, with m the
    least of n, the steps to the episode's end and those to the rollout's end. After a truncation the observation in
    which the episode ended follows.

    Args:
        rollout: What the members did.
        n: Most steps, at least 1.
    """
    earned = rollout.rewards[..., None] if rollout.reward_parts is None else rollout.reward_parts
    steps = len(rollout)
    following = np.concatenate([rollout.obs[1:], rollout.last_obs[None]])
    step, member, env = rollout.final_at.T
    following[step, member, env] = rollout.final_obs
    ended = rollout.terminated | rollout.truncated
    after = np.where(rollout.terminated, np.float32(0), rollout.discounts)
    rewards, discounts, next_obs = earned.astype(np.float32), after.copy(), following.copy()
    going = ~ended
    for ahead in range(1, min(n, steps)):
        now = going[: steps - ahead]
        rewards[: steps - ahead] += np.where(now[..., None], discounts[: steps - ahead, ..., None] * earned[ahead:], 0)
        discounts[: steps - ahead] = np.where(
            now, discounts[: steps - ahead] * after[ahead:], discounts[: steps - ahead]
        )
        where = now.nonzero()
        next_obs[: steps - ahead][where] = following[ahead:][where]
        going = now & ~ended[ahead:]
    return Transitions(*(_by_member(array) for array in (rollout.obs, rollout.actions, rewards, discounts, next_obs)))


def _by_member(array: NDArray[Any]) -> NDArray[Any]:
    steps, members, envs = array.shape[:3]
    return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(members, steps * envs, *array.shape[3:])
