"""What a population did in its environments: one dense record, nothing of torch in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WAITING = -2
"""Number, in place of a task's, of a row that has played its episode and waits for the others to end."""


@dataclass(frozen=True)
class Rollout:
    """T steps of B sub-environments of each of P members (autoreset mode SAME_STEP).

    Attributes:
        obs: Observations that were acted on, with what the module reads beside them, [T, P, B, *O] float32.
        actions: The engine's actions (before clipping to a Box, counted from 0), [T, P, B, *A].
        logp: Their log-probabilities under the members' own policies when they were taken, [T, P, B] float32.
        rewards: [T, P, B] float32.
        terminated: Whether the step ended its trial in a final state, [T, P, B] bool. A trial is an episode, unless the
            module's extras say that it is several on one task: then the ends of its first ones count as any other step,
            and values go on into the next episode.
        truncated: Whether the step ended its trial by a limit, [T, P, B] bool.
        discounts: Discount on what follows each step (gamma to the power of the step's length), [T, P, B] float32.
        last_obs: Observations after the last step, [P, B, *O] float32.
        final_at: Step, member and sub-environment of each truncated trial's end, [F, 3] int64.
        final_obs: The observations in which those trials ended, [F, *O] float32.
        importance: Probability of each action under the member's own policy over that under the mixture which acted,
            at most 1, [T, P, B] float32; None where the members acted alone.
        reward_parts: The parts that the reward weighs, [T, P, B, K] float32; None unless the members learn them.
        tasks: Number of the task each step was made in, in the member's pool, [T, P, B] int64; ``WAITING`` where a row
            made none; None without tasks.
        first_memory: What the members remembered before the first step, [P, B, H] float32; None for members without
            memory. It begins anew, as zeros, where a trial ends.
    """

    obs: NDArray[np.float32]
    actions: NDArray[Any]
    logp: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    discounts: NDArray[np.float32]
    last_obs: NDArray[np.float32]
    final_at: NDArray[np.int64]
    final_obs: NDArray[np.float32]
    importance: NDArray[np.float32] | None = None
    reward_parts: NDArray[np.float32] | None = None
    tasks: NDArray[np.int64] | None = None
    first_memory: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return T."""
        return self.rewards.shape[0]

    @property
    def members(self) -> int:
        """P."""
        return self.rewards.shape[1]

    @property
    def played(self) -> NDArray[np.bool_] | None:
        """Which steps were made, [T, P, B]; None where all were."""
        if self.tasks is None or not (self.tasks == WAITING).any():
            return None
        return np.asarray(self.tasks != WAITING)

    @property
    def env_steps(self) -> int:
        """Environment steps a member made, T * B, those of rows that waited included."""
        return self.rewards.shape[0] * self.rewards.shape[2]

    @property
    def agent_steps(self) -> int:
        """Environment steps all members made, T * P * B, those of rows that waited included."""
        return self.rewards.size


def join_members(rollouts: Sequence[Rollout]) -> Rollout:
    """Return one rollout of all members of some that have the same T and B, in their order."""
    if len(rollouts) == 1 and rollouts[0].obs.flags.writeable:  # what comes from another process is not
        return rollouts[0]
    starts = np.cumsum([0, *(rollout.members for rollout in rollouts)])
    ends = [np.add(rollout.final_at, [0, start, 0]) for rollout, start in zip(rollouts, starts, strict=False)]
    final_at = np.concatenate(ends)
    order = np.lexsort(final_at.T[::-1])

    def join(name: str, axis: int = 1) -> NDArray[Any]:
        return np.concatenate([getattr(rollout, name) for rollout in rollouts], axis=axis)

    return Rollout(
        obs=join("obs"),
        actions=join("actions"),
        logp=join("logp"),
        rewards=join("rewards"),
        terminated=join("terminated"),
        truncated=join("truncated"),
        discounts=join("discounts"),
        last_obs=join("last_obs", 0),
        final_at=final_at[order],
        final_obs=join("final_obs", 0)[order],
        importance=None if rollouts[0].importance is None else join("importance"),
        reward_parts=None if rollouts[0].reward_parts is None else join("reward_parts"),
        tasks=None if rollouts[0].tasks is None else join("tasks"),
        first_memory=None if rollouts[0].first_memory is None else join("first_memory", 0),
    )


def padded_finals(rollout: Rollout) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return final observations as [P, most a member has, *O], and the place of each in its member's row, [F]."""
    member = rollout.final_at[:, 1]
    counts = np.bincount(member, minlength=rollout.members)
    order = np.argsort(member, kind="stable")
    places = np.empty(len(member), np.int64)
    places[order] = np.arange(len(member)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.zeros((rollout.members, counts.max(), *rollout.last_obs.shape[2:]), np.float32)
    padded[member, places] = rollout.final_obs
    return padded, places
