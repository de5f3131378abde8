"""The rows of a population: one vector environment for all members, member-major (row = member * B + index)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from ray import cloudpickle

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_of
from roamrl.envs.placement import Placement

Observations = NDArray[Any]


class Rows(Protocol):
    """A SAME_STEP vector environment that can be started at an episode, and whose state can be kept.

    Attributes:
        env: The vector environment, P * B rows.
        measures: Step measures it reports in ``infos``.
        reward_parts: How many parts of the reward it tells apart; 0 unless the learner's module asks for them.
    """

    env: Any
    measures: tuple[str, ...]
    reward_parts: int

    def start(self, episode: int) -> Observations:
        """Start episode number ``episode`` in every row."""

    def state(self) -> dict[str, Any]:
        """Return everything the next steps depend on."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""


class FamilyRows:
    """Rows of one of our families, each member with its own tasks and seed."""

    def __init__(self, spec: LearnerSpec, envs_per_member: int) -> None:
        family = family_of([task for member in spec.members for task in member.tasks])
        self.measures = family.measures
        self.env: Any = family.make_placed(
            Placement.members(
                [member.tasks for member in spec.members], [member.seed for member in spec.members], envs_per_member
            ),
            AutoresetMode.SAME_STEP,
        )
        where = spec.module.model.get("reward_weights")
        self.reward_parts = 0 if where is None else where[1] - where[0]
        if self.reward_parts:
            self.env.keep_reward_parts()

    def start(self, episode: int) -> Observations:
        """Start episode number ``episode`` in every row."""
        return self.env.reset(options={"episode": episode})[0]

    def state(self) -> dict[str, Any]:
        """Return the environment's state arrays."""
        return dict(self.env.get_state())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        self.env.set_state(state)


class GymnasiumRows:
    """Rows of any registered Gymnasium environment, stepped one after the other.

    An episode's seed is a function of (member seed, episode, index); later episodes of a row follow from it.
    """

    def __init__(self, env_id: str, kwargs: Mapping[str, Any], seeds: list[int], envs_per_member: int) -> None:
        self.measures: tuple[str, ...] = ()
        self.reward_parts = 0
        self._keys = [(seed, index) for seed in seeds for index in range(envs_per_member)]
        self.env: Any = SyncVectorEnv(
            [partial(gymnasium.make, env_id, **kwargs)] * len(self._keys), autoreset_mode=AutoresetMode.SAME_STEP
        )

    def start(self, episode: int) -> Observations:
        """Start every row from the seed of this episode."""
        seeds = [int(np.random.SeedSequence((seed, episode, index)).generate_state(1)[0]) for seed, index in self._keys]
        return self.env.reset(seed=seeds)[0]

    def state(self) -> dict[str, Any]:
        """Return the pickled sub-environments: Gymnasium has no other way to keep one.

        Raises:
            InputError: If the environment cannot be pickled, since a checkpoint without it would not resume.
        """
        try:
            return {"pickled": cloudpickle.dumps(self.env.envs)}
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(f"the environment cannot be kept in a checkpoint ({error}); train without any") from error

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        self.env.envs = cloudpickle.loads(state["pickled"])


def make_rows(
    spec: LearnerSpec, envs_per_member: int, env_id: str | None = None, kwargs: Mapping[str, Any] | None = None
) -> Rows:
    """Make the rows of a learner: of its members' tasks, or of a Gymnasium environment if they have none.

    Raises:
        InputError: If only some members have tasks, or neither tasks nor an environment is given.
    """
    with_tasks = sum(bool(member.tasks) for member in spec.members)
    if with_tasks == len(spec.members):
        return FamilyRows(spec, envs_per_member)
    if with_tasks or env_id is None:
        raise InputError(
            f"{len(spec.members) - with_tasks} of {len(spec.members)} members have no task and no environment is "
            "named; give every member tasks, or none and config.environment('CartPole-v1')"
        )
    return GymnasiumRows(env_id, kwargs or {}, [member.seed for member in spec.members], envs_per_member)
