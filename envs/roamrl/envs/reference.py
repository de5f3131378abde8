"""References: policies nobody trained, between which every score is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.episodes import Episodes, play
from roamrl.envs.task import Task

if TYPE_CHECKING:
    from roamrl.envs.batched import BatchedEnv
    from roamrl.envs.family import Family

Role = Literal["trivial", "classical", "oracle", "other"]


class Reference(ABC):
    """A policy nobody trained.

    Attributes:
        name: Name in tables, e.g. ``equal-split``.
        role: ``trivial`` is score 0, ``oracle`` is score 1, ``classical`` is what an engineer would deploy, and
            ``other`` has no place in scores: it is there to be compared with.
        about: One line for people.
    """

    name: str
    role: Role
    about: str

    @abstractmethod
    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task on the common streams of :func:`roamrl.envs.episodes.play`."""


class ActingReference(Reference):
    """A reference that chooses from the environment's state, step by step."""

    @abstractmethod
    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return actions [N, ...] for the rows of an environment."""

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task."""

        def choose(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
            actions = self.act(env)
            return actions.reshape(*obs.shape[:2], *actions.shape[1:])

        return play(family, tasks, choose, episodes=episodes, seed=seed)
