"""Rows of an environment from elsewhere, stepped by Gymnasium's own vector environments."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from roamrl.envs.adapters.cell import ENDED, TERMINATED, TRUNCATED, Cell, Episode
from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.adapters.faces import Face
from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.canonical import JSON
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

PROCESSES = "forkserver"
"""How ``AsyncVectorEnv`` starts its processes: a fork of a process that runs Ray or torch may hang."""


class GymnasiumCells(BatchedEnv):
    """N rows of an environment from elsewhere.

    Which task a row plays, and from which seed, is decided here, episode by episode; stepping is Gymnasium's
    ``SyncVectorEnv``, or ``AsyncVectorEnv`` (a process a row) for batches of at most ``async_rows``. A row's seed is a
    function of (member seed, episode, index), so a batch equals its rows alone as far as the environment itself is a
    function of its seed.

    State: no way of copying an environment in the middle of an episode works for all, so the state is the episode's
    task, seed and actions so far, and :meth:`set_state` plays the episode again up to there. It holds room for
    ``max_episode_steps`` actions a row. Where the environment does not come out at the same observation, a warning
    says so, and the rows go on from where they came out.

    Args:
        placement: Seeds, indices and tasks of the rows.
        config: What is made.
        face: How it looks to a policy.
        autoreset_mode: As for every batched environment.
    """

    def __init__(
        self, placement: Placement, config: GymnasiumConfig, face: Face, autoreset_mode: AutoresetMode | str
    ) -> None:
        count = len(placement)
        rows = [partial(Cell, config, face, row) for row in range(count)]
        self._vector: Any = (
            AsyncVectorEnv(rows, context=PROCESSES, autoreset_mode=AutoresetMode.DISABLED)
            if count <= config.async_rows
            else SyncVectorEnv(rows, copy=False, autoreset_mode=AutoresetMode.DISABLED)
        )
        self._contexts: list[Mapping[str, JSON]] = []
        self._last = np.zeros((count, *(face.observation.shape or ())), np.float32)
        self._played = np.zeros(count, np.int64)
        self._ended = np.zeros(count, np.bool_)
        self._seed_of = np.zeros(count, np.int64)
        self._taken = np.zeros((count, config.max_episode_steps, *(face.action.shape or ())), face.action.dtype)
        super().__init__(placement, face.observation, face.action, autoreset_mode)

    def _compile(self, tasks: Sequence[Task]) -> None:
        self._contexts = [dict(task.context) for task in tasks]

    def _begin(self, rows: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        for row in rows:
            key = (int(self._seeds[row]), int(self._episodes[row]), int(self._indices[row]))
            self._seed_of[row] = np.random.SeedSequence(key).generate_state(1)[0]
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        options = {"reset_mask": mask, "contexts": [self._contexts[entry] for entry in self._task_rows]}
        obs, _ = self._vector.reset(seed=self._seed_of.tolist(), options=options)
        self._last[rows] = obs[rows]
        self._played[rows] = 0
        self._ended[rows] = False

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        running = np.flatnonzero(~self._ended)
        self._taken[running, self._played[running]] = actions[running]
        obs, rewards, _, _, infos = self._vector.step(actions)
        self._last[running] = obs[running]
        self._played[running] += 1
        self._rewards[running] = rewards[running]
        if ENDED in infos:
            self._terminated[:] = infos[ENDED] == TERMINATED
            self._truncated[:] = infos[ENDED] == TRUNCATED
            self._ended |= self._terminated | self._truncated

    def _observe(self, rows: NDArray[np.int64]) -> None:
        self._obs[rows] = self._last[rows]

    def _arrays(self) -> State:
        return {
            "last": self._last,
            "played": self._played,
            "ended": self._ended,
            "seed_of": self._seed_of,
            "taken": self._taken,
        }

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore :meth:`get_state`'s result by playing the episodes that were open again."""
        super().set_state(state)
        episodes: list[Episode | None] = [None] * self.num_envs
        for row in np.flatnonzero(self._episodes >= 0):
            actions = self._taken[row, : self._played[row]]
            episodes[row] = Episode(self._contexts[self._task_rows[row]], int(self._seed_of[row]), actions)
        found = np.stack(self._vector.call("replay", episodes))
        strayed = [
            row for row in np.flatnonzero(self._episodes >= 0) if not np.array_equal(found[row], self._last[row])
        ]
        if strayed:
            warnings.warn(
                f"{len(strayed)} of {self.num_envs} episodes do not come out where they were when played again: the "
                "environment is no function of its seed; they go on from where they came out",
                stacklevel=2,
            )
            self._last[strayed] = found[strayed]
            self._observe(np.asarray(strayed))

    def suggest(self, policy: str) -> NDArray[Any]:
        """Return the actions that ``module:function`` chooses in each row, [N, ...]."""
        return np.stack(self._vector.call("suggest", policy))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the rows' environments."""
        self._vector.close(**kwargs)
