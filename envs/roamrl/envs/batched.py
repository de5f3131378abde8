"""The batched environment: B cells, each with its own task, stepped by one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

State = dict[str, NDArray[Any]]


class BatchedEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]], ABC):
    """Base of all batched environments; a family implements the five hooks below.

    Observations are float32 [N, *obs], rewards float64 [N]. Step measures of a family (violation rate and the like)
    are float arrays [N] in ``infos`` under their names. With ``autoreset_mode`` SAME_STEP the last observation of an
    ended episode is row i of ``infos["final_obs"]`` (dense, [N, *obs]) where ``infos["_final_obs"][i]``. A row's
    rollout depends on its seed, index, task and actions alone, not on N, on its row or on its neighbours.

    Hooks: :meth:`_compile` (task table), :meth:`_begin` (start episodes), :meth:`_advance` (one step),
    :meth:`_observe` (write observations), :meth:`_arrays` (all mutable state).

    Args:
        placement: Seeds, stream indices and task pools of the rows.
        observation_space: Space of one sub-environment.
        action_space: Space of one sub-environment.
        autoreset_mode: SAME_STEP is native, NEXT_STEP is what stock RLlib expects, DISABLED leaves it to the caller.
    """

    def __init__(
        self,
        placement: Placement,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        self.num_envs = len(placement)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, self.num_envs)
        self.action_space = batch_space(action_space, self.num_envs)
        self.render_mode = None
        self._obs = np.zeros((self.num_envs, *(observation_space.shape or ())), np.float32)
        self._rewards = np.zeros(self.num_envs, np.float64)
        self._terminated = np.zeros(self.num_envs, np.bool_)
        self._truncated = np.zeros(self.num_envs, np.bool_)
        self._durations: NDArray[np.float64] | None = None
        self._measures: dict[str, NDArray[np.float64]] = {}
        self._seeds = placement.seeds.astype(np.int64, copy=True)
        self._episodes = np.full(self.num_envs, -1, np.int64)
        self._pending = np.zeros(self.num_envs, np.bool_)
        self._task_rows = np.zeros(self.num_envs, np.int64)
        self._all_rows = np.arange(self.num_envs)
        self._adopt(placement)

    @abstractmethod
    def _compile(self, tasks: Sequence[Task]) -> None:
        """Build the parameter table of the distinct tasks; row i plays entry ``self._task_rows[i]`` of it."""

    @abstractmethod
    def _begin(self, rows: NDArray[np.int64]) -> None:
        """Start an episode in these rows, from ``_seeds``, ``_episodes``, ``_indices`` and ``_task_rows``."""

    @abstractmethod
    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        """Step the active rows; write ``_rewards``, ``_terminated``, ``_truncated`` and ``_measures`` for them."""

    @abstractmethod
    def _observe(self, rows: NDArray[np.int64]) -> None:
        """Write these rows' observations into ``_obs``."""

    @abstractmethod
    def _arrays(self) -> State:
        """Return the family's mutable state by name, as the live arrays (not copies)."""

    def _adopt(self, placement: Placement) -> None:
        self._placement = placement
        self._indices = placement.indices.astype(np.int64, copy=True)
        distinct = list(dict.fromkeys(task for pool in dict.fromkeys(placement.pools) for task in pool))
        number = {task: entry for entry, task in enumerate(distinct)}
        entries = {pool: np.array([number[t] for t in pool]) for pool in dict.fromkeys(placement.pools)}
        self._pool_entries = [entries[pool] for pool in placement.pools]
        self._tasks = tuple(distinct)
        self._compile(self._tasks)

    def keep_reward_parts(self) -> None:
        """From now on keep the parts of every step's reward for :meth:`reward_parts`.

        Raises:
            InputError: If the family's reward has no parts.
        """
        raise InputError(f"{type(self).__name__} does not tell its reward's parts apart")

    def reward_parts(self) -> NDArray[np.float64]:
        """Return the parts of the last step's rewards, [N, K]; their weighed sum is the reward."""
        raise InputError("no reward parts are kept; call keep_reward_parts() before stepping")

    @property
    def durations(self) -> NDArray[np.float64] | None:
        """Lengths of the last step in the units of the discount, [N]; None where every step is one unit long.

        A family whose decisions lie unevenly in time (a semi-Markov decision process) writes ``_durations``: what
        follows a step of length t is discounted by gamma^t.
        """
        return None if self._durations is None else self._durations.copy()

    @property
    def placement(self) -> Placement:
        """Seeds, indices and pools of the rows."""
        return self._placement

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The distinct tasks of all rows."""
        return self._tasks

    @property
    def task_rows(self) -> NDArray[np.int64]:
        """Which of :attr:`tasks` each row is playing, [N]."""
        return self._task_rows.copy()

    def current_tasks(self) -> list[Task]:
        """Return the task each row is playing, [N]."""
        return [self._tasks[entry] for entry in self._task_rows]

    def set_tasks(self, tasks: Sequence[Task] | Sequence[Sequence[Task]]) -> None:
        """Give the rows other tasks (or pools of tasks), N of them; they take effect at each row's next reset.

        Raises:
            InputError: If their number is not N or they have another config (that is, other spaces).
        """
        if len(tasks) != self.num_envs:
            raise InputError(f"{len(tasks)} tasks for {self.num_envs} sub-environments; give one (or a pool) each")
        pools = tuple((entry,) if isinstance(entry, Task) else tuple(entry) for entry in tasks)
        known = self._tasks[0].config_hash
        if any(task.config_hash != known for pool in pools for task in pool):
            raise InputError("tasks of another family config have other spaces; make a new environment for them")
        playing = self.current_tasks()
        placement = Placement(self._placement.seeds, self._indices, pools, self._placement.stride)
        self._adopt(placement)
        if (self._episodes >= 0).any():
            self._keep_playing(playing)

    def _keep_playing(self, playing: Sequence[Task]) -> None:
        extra = [task for task in dict.fromkeys(playing) if task not in set(self._tasks)]
        self._tasks = (*self._tasks, *extra)
        self._compile(self._tasks)
        number = {task: entry for entry, task in enumerate(self._tasks)}
        self._task_rows[:] = [number[task] for task in playing]

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every row.

        Args:
            seed: Seed of every row (rows differ by their index), or one a row; restarts at episode 0.
            options: ``episode``: number the episodes from here on; ``reset_mask``: bool [N], the rows to start.
        """
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, np.bool_)), np.bool_)
        episode = options.pop("episode", None)
        if options:
            raise InputError(f"unknown reset options {sorted(options)}; known: episode, reset_mask")
        rows = self._all_rows[mask]
        if seed is not None:
            self._seeds[rows] = np.broadcast_to(np.asarray(seed, np.int64), (self.num_envs,))[rows]
            self._episodes[rows] = -1
        if episode is not None:
            self._episodes[rows] = int(episode) - 1
        self._start(rows)
        return self._obs.copy(), {}

    def _start(self, rows: NDArray[np.int64]) -> None:
        self._episodes[rows] += 1
        stride = self._placement.stride
        for row in rows:
            pool = self._pool_entries[row]
            self._task_rows[row] = pool[(self._indices[row] + self._episodes[row] * stride) % len(pool)]
        self._pending[rows] = False
        self._begin(rows)
        self._observe(rows)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all rows; see the class for what ``infos`` holds."""
        if (self._episodes < 0).any():
            raise InputError("step before reset; call reset() first")
        starting = self._all_rows[self._pending] if self.autoreset_mode is AutoresetMode.NEXT_STEP else None
        active = ~self._pending
        self._rewards[:] = 0.0
        self._terminated[:] = False
        self._truncated[:] = False
        self._advance(np.asarray(actions), active)
        self._observe(self._all_rows[active])
        done = self._terminated | self._truncated
        infos: dict[str, Any] = {}
        for name, values in self._measures.items():
            infos[name] = values.copy()
            infos[f"_{name}"] = active.copy()
        terminated, truncated = self._terminated.copy(), self._truncated.copy()
        if starting is not None and len(starting):
            self._start(starting)
        if done.any():
            self._end(done, infos)
        return self._obs.copy(), self._rewards.copy(), terminated, truncated, infos

    def _end(self, done: NDArray[np.bool_], infos: dict[str, Any]) -> None:
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos["final_obs"] = self._obs.copy()
            infos["_final_obs"] = done.copy()
            self._start(self._all_rows[done])
        else:
            self._pending |= done

    def _everything(self) -> State:
        own = {"seeds": self._seeds, "episodes": self._episodes, "pending": self._pending}
        return {**own, "task_rows": self._task_rows, "obs": self._obs, **self._arrays()}

    def get_state(self) -> State:
        """Return a copy of everything a rollout depends on, as named arrays."""
        return {name: array.copy() for name, array in self._everything().items()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore :meth:`get_state`'s result, taken from an environment with the same placement.

        Raises:
            InputError: If an array is missing or has another shape.
        """
        for name, array in self._everything().items():
            if name not in state or state[name].shape != array.shape:
                raise InputError(f"state array {name!r} is missing or of another shape; it needs {array.shape}")
            array[...] = state[name]
