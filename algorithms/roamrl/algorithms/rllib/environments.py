"""The rows of a population: one vector environment for all members, member-major (row = member * B + index)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from ray import cloudpickle

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import UNKNOWN_TASK
from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.population.rollout import WAITING
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family, family_of
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

Observations = NDArray[Any]


class Rows(Protocol):
    """A SAME_STEP vector environment that can be started at an episode, and whose state can be kept.

    Attributes:
        env: The vector environment, P * B rows.
        module: Module of the members that play.
        measures: Step measures it reports in ``infos``.
        reward_parts: How many parts of the reward it tells apart; 0 unless the learner's module asks for them.
    """

    env: Any
    module: ModuleSpec
    measures: tuple[str, ...]
    reward_parts: int

    def start(self, trial: int) -> Observations:
        """Start trial number ``trial`` in every row; mostly a trial is an episode."""

    def task_numbers(self) -> NDArray[np.int64] | None:
        """Return the number of the task each row plays in its member's pool, [P * B]; None without tasks."""

    def extras(self) -> NDArray[np.float32]:
        """Return what the module is told of each row's task beside the observation, [P * B, task_columns]."""

    def durations(self) -> NDArray[np.float64] | None:
        """Return how long the last step was in the units of the discount, [P * B]; None if every step is one long."""

    def state(self) -> dict[str, Any]:
        """Return everything the next steps depend on."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""


class WaitingEnv:
    """A batched environment whose rows play one episode after a reset and then wait, which costs next to nothing.

    It says at an episode's end what one with automatic resets says; a row that waits has reward 0 and stays where its
    episode ended.

    Attributes:
        over: Which rows wait, [N].
    """

    def __init__(self, env: BatchedEnv) -> None:
        if env.autoreset_mode is not AutoresetMode.DISABLED:
            raise InputError("rows that wait are never reset by themselves; make the environment with DISABLED")
        self._env = env
        self.over = np.zeros(env.num_envs, np.bool_)

    def reset(self, **kwargs: Any) -> tuple[Observations, dict[str, Any]]:
        """Start an episode in every row; see :meth:`~roamrl.envs.batched.BatchedEnv.reset`."""
        self.over[:] = False
        return self._env.reset(**kwargs)

    def step(self, actions: NDArray[Any]) -> tuple[Observations, Any, Any, Any, dict[str, Any]]:
        """Step the rows that do not wait; see :meth:`~roamrl.envs.batched.BatchedEnv.step`."""
        obs, rewards, terminated, truncated, infos = self._env.step(actions)
        ended = terminated | truncated
        if ended.any():
            infos["final_obs"], infos["_final_obs"] = obs, ended
            self.over |= ended
        return obs, rewards, terminated, truncated, infos

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from the environment's state."""
        self._env.set_state(state)
        self.over = state["pending"].copy()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


class FamilyRows:
    """Rows of one of our families, each member with its own tasks and seed.

    Where every rollout begins with new episodes and those differ in length, a row plays one and waits for the next
    rollout: as many episodes are played as the plan says, not as many as would fit.

    Raises:
        InputError: If rows would wait, and the learner cannot leave out what is not played.
    """

    def __init__(self, spec: LearnerSpec, envs_per_member: int) -> None:
        pooled = [task for member in spec.members for task in member.tasks]
        family = family_of(pooled)
        waits = _waits(family, pooled, spec)
        self.module = spec.module
        self.measures = family.measures
        env = family.make_placed(
            Placement.members(
                [member.tasks for member in spec.members],
                [member.seed for member in spec.members],
                envs_per_member,
                spec.module.extras.trial_episodes,
            ),
            AutoresetMode.DISABLED if waits else AutoresetMode.SAME_STEP,
        )
        self.env: Any = WaitingEnv(env) if waits else env
        self._waits = waits
        pools = [member.tasks for member in spec.members for _ in range(envs_per_member)]
        self._numbers = _numbers_in_pools(self.env.tasks, pools)
        self._told = spec.module.extras.of_tasks(self.env.tasks)  # by task; its number is that in the row's own pool
        self._all = np.arange(len(pools))
        where = spec.module.model.get("reward_weights")
        self.reward_parts = 0 if where is None else where[1] - where[0]
        if self.reward_parts:
            self.env.keep_reward_parts()

    def start(self, trial: int) -> Observations:
        """Start trial number ``trial`` in every row."""
        return self.env.reset(options={"episode": trial * self.module.extras.trial_episodes})[0]

    def task_numbers(self) -> NDArray[np.int64]:
        """Return the number of the task each row plays in its member's pool, [P * B]; ``WAITING`` where it waits."""
        numbers = self._own_numbers()
        return np.where(self.env.over, WAITING, numbers) if self._waits else numbers

    def _own_numbers(self) -> NDArray[np.int64]:
        return self._numbers[self._all, self.env.task_rows]

    def extras(self) -> NDArray[np.float32]:
        """Return what the module is told of each row's task beside the observation, [P * B, task_columns]."""
        if self.module.extras.task == "number":
            return self._own_numbers().astype(np.float32)[:, None]
        return self._told[self.env.task_rows]

    def durations(self) -> NDArray[np.float64] | None:
        """Return how long the last step was in the units of the discount, [P * B]; None if every step is one long."""
        return self.env.durations

    def state(self) -> dict[str, Any]:
        """Return the environment's state arrays."""
        return dict(self.env.get_state())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        self.env.set_state(state)


def _waits(family: Family, tasks: Sequence[Task], spec: LearnerSpec) -> bool:
    """Return whether rows play one episode a rollout and wait for its end."""
    vary = any(family.typical_episode_steps(task.config) < family.episode_steps(task.config) for task in tasks)
    if not vary or not all(phase.whole_episodes for phase in spec.phases):
        return False
    if spec.dqn is not None or spec.module.extras.trial_episodes > 1:
        raise InputError(
            f"episodes of {family.id} differ in length, and here they are counted: learn by PPO, in trials of one "
            "episode (Q-learning's replay and longer trials cannot leave out rows that wait)"
        )
    return True


def _numbers_in_pools(tasks: Sequence[Task], pools: Sequence[tuple[Task, ...]]) -> NDArray[np.int64]:
    """Return the number that each of some tasks has in each row's pool, [N, tasks]; -1 where it is not in it."""
    by_pool = {}
    for pool in dict.fromkeys(pools):
        number = {task: place for place, task in reversed(list(enumerate(pool)))}
        by_pool[pool] = [number.get(task, UNKNOWN_TASK) for task in tasks]
    return np.array([by_pool[pool] for pool in pools], np.int64)


class GymnasiumRows:
    """Rows of any registered Gymnasium environment, stepped one after the other.

    A start's seed is a function of (member seed, its number, index); later episodes of a row follow from it.
    """

    def __init__(self, spec: LearnerSpec, envs_per_member: int, env_id: str, kwargs: Mapping[str, Any]) -> None:
        if spec.module.extras.task != "none":
            raise InputError(f"an environment without tasks cannot tell {spec.module.extras.task!r} of one")
        self.measures: tuple[str, ...] = ()
        self.reward_parts = 0
        self.module = spec.module
        self._keys = [(member.seed, index) for member in spec.members for index in range(envs_per_member)]
        self.env: Any = SyncVectorEnv(
            [partial(gymnasium.make, env_id, **kwargs)] * len(self._keys), autoreset_mode=AutoresetMode.SAME_STEP
        )

    def start(self, trial: int) -> Observations:
        """Start every row from the seed of this trial."""
        seeds = [int(np.random.SeedSequence((seed, trial, index)).generate_state(1)[0]) for seed, index in self._keys]
        return self.env.reset(seed=seeds)[0]

    def task_numbers(self) -> None:
        """Return None: there are no tasks."""

    def extras(self) -> NDArray[np.float32]:
        """Return nothing beside the observations, [P * B, 0]."""
        return np.zeros((len(self._keys), 0), np.float32)

    def durations(self) -> None:
        """Return None: every step is one long."""

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
    return GymnasiumRows(spec, envs_per_member, env_id, kwargs or {})
