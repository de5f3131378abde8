"""Which random stream and which tasks every sub-environment of a batch has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.errors import InputError
from roamrl.envs.task import Task


@dataclass(frozen=True)
class Placement:
    """Seeds, stream indices and task pools of N sub-environments.

    A sub-environment's randomness is a function of (seed, episode, index) alone, never of its row, of N or of its
    task. In episode e it plays ``pool[(index + e * stride) % len(pool)]``: sub-environments of one member go
    round the pool together.

    Attributes:
        seeds: Seed of the member each sub-environment belongs to, [N].
        indices: Index within the member, [N].
        pools: Task pool of each sub-environment, N tuples.
        stride: Places by which a sub-environment goes on in its pool after an episode: the sub-environments a member
            has, unless tasks are repeated.
    """

    seeds: NDArray[np.int64]
    indices: NDArray[np.int64]
    pools: tuple[tuple[Task, ...], ...]
    stride: int

    def __post_init__(self) -> None:
        if not len(self.seeds) == len(self.indices) == len(self.pools) > 0:
            raise InputError("a placement needs one seed, one index and one pool for each of at least one row")
        if any(not pool for pool in self.pools):
            raise InputError("a sub-environment without tasks; give every pool at least one task")

    def __len__(self) -> int:
        return len(self.seeds)

    def task(self, row: int, episode: int) -> Task:
        """Return the task that a row plays in an episode."""
        pool = self.pools[row]
        return pool[(int(self.indices[row]) + episode * self.stride) % len(pool)]

    @classmethod
    def spread(cls, tasks: Sequence[Task], num_envs: int | None = None, seed: int = 0) -> Placement:
        """One member; row i keeps task i (modulo their number) for good."""
        count = len(tasks) if num_envs is None else num_envs
        if not tasks or count < 1:
            raise InputError("an environment needs at least one task and one sub-environment")
        pools = tuple((tasks[row % len(tasks)],) for row in range(count))
        return cls(np.full(count, seed, np.int64), np.arange(count, dtype=np.int64), pools, count)

    @classmethod
    def members(
        cls, pools: Sequence[Sequence[Task]], seeds: Sequence[int], envs_per_member: int, repeat: int = 1
    ) -> Placement:
        """P members, member-major: row = member * envs_per_member + index.

        Args:
            pools: Task pool of each member.
            seeds: Seed of each member.
            envs_per_member: Sub-environments a member has, B.
            repeat: Consecutive episodes that a sub-environment plays on a task: in episode e it plays
                ``pool[(index + (e // repeat) * B) % len(pool)]``.
        """
        if len(pools) != len(seeds):
            raise InputError(f"{len(pools)} task pools for {len(seeds)} member seeds; give one pool a member")
        if repeat < 1:
            raise InputError(f"a task is played for at least one episode at a time, got {repeat}")
        if repeat == 1:
            rows = tuple(tuple(pool) for pool in pools for _ in range(envs_per_member))
        else:
            rows = tuple(
                _repeated(pool, index, envs_per_member, repeat) for pool in pools for index in range(envs_per_member)
            )
        return cls(
            np.repeat(np.asarray(seeds, np.int64), envs_per_member),
            np.tile(np.arange(envs_per_member, dtype=np.int64), len(pools)),
            rows,
            envs_per_member if repeat == 1 else 1,
        )


def _repeated(pool: Sequence[Task], index: int, envs_per_member: int, repeat: int) -> tuple[Task, ...]:
    """Lay out a row's pool so that with a stride of 1 it plays each of its tasks ``repeat`` times on end."""
    visited = len(pool) // math.gcd(len(pool), envs_per_member)
    order = [pool[(index + turn * envs_per_member) % len(pool)] for turn in range(visited) for _ in range(repeat)]
    return tuple(order[(place - index) % len(order)] for place in range(len(order)))
