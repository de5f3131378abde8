"""The environment runner of members that learn to adapt: whole episodes on the tasks drawn for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable

from roamrl.algorithms.meta_learning import MAMLSettings, ReptileSettings
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.task_members import drawn_tasks, task_members, task_seeds
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.play import Player
from roamrl.algorithms.rllib.recorder import PlayStats
from roamrl.algorithms.rllib.runner import PLAYER, BatchEnvRunner
from roamrl.algorithms.rllib.task_returns import TaskReturns
from roamrl.envs.errors import InputError


class TaskMembersRunner(BatchEnvRunner):
    """Plays each member's policies on the tasks drawn for it, one iteration of the plan a call.

    Every iteration starts new episodes: within a meta-iteration with the policies as adapted by then, between two on
    other tasks. A checkpoint therefore holds the generators of action noise and no environment.

    Attributes:
        noise: Generators of action noise, one a task member.
    """

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.noise = noise_generators(self._seeds())
        self._playing: tuple[int, int] | None = None

    @override(BatchEnvRunner)
    def _seeds(self) -> list[int]:
        return task_seeds(self.spec)

    @property
    def _settings(self) -> MAMLSettings | ReptileSettings:
        settings = self.spec.meta
        if not isinstance(settings, MAMLSettings | ReptileSettings):
            raise InputError("the learner's members do not learn to adapt; use BatchEnvRunner")
        return settings

    @override(BatchEnvRunner)
    def sample(self, *, iteration: int) -> list[Rollout]:  # type: ignore[override]
        """Play iteration ``iteration`` (0-based) of the plan; ``stats`` are those of the members, over their tasks."""
        phase, steps = self.spec.phase_of(iteration), self.spec.member_steps(iteration)
        meta_iteration = iteration // self._settings.rollouts
        player = self._player_on(meta_iteration, phase.envs_per_member)
        player.start(steps)
        rollout, stats = player.play(self._stacked(), phase.length, self.spec.gamma, steps)
        self.stats = _of_members(stats, len(self.spec.members), self._by_task(stats, meta_iteration))
        self._count(rollout, self.stats)
        return [rollout]

    def _by_task(self, stats: PlayStats, meta_iteration: int) -> TaskReturns | None:
        """Return what task members did by the number of their task in the member's pool."""
        if not self.tasks:
            return None
        found = TaskReturns.none_yet(len(self.spec.members), self.tasks)
        for place, member in enumerate(self.spec.members):
            drawn = drawn_tasks(member, self._settings.tasks, meta_iteration)
            numbers = [member.tasks.index(task) for task in drawn]
            own = slice(place * len(drawn), (place + 1) * len(drawn))
            found.ended[place, numbers] = stats.ended[own]
            found.return_sum[place, numbers] = stats.return_sum[own]
        return found

    def _player_on(self, meta_iteration: int, envs_per_member: int) -> Player:
        wanted = (meta_iteration, envs_per_member)
        if self.player is None or self._playing != wanted:
            if self.player is not None:
                self.player.close()
            cells = envs_per_member // self._settings.tasks
            spec = task_members(self.spec, meta_iteration)
            rows, guard = make_rows(spec, cells), self._guard(spec.members)
            self.player, self._playing = Player(rows, self.noise, cells, guard=guard), wanted
            self.env = rows.env
        return self.player

    @override(Checkpointable)
    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return counters, action noise, and the weights if asked for."""
        hidden = [not_components] if isinstance(not_components, str) else list(not_components or ())
        state = super().get_state(components, not_components=[*hidden, PLAYER], **kwargs)
        if self._check_component(PLAYER, components, not_components):
            state[PLAYER] = {"noise": [generator.get_state().numpy() for generator in self.noise]}
        return state

    @override(Checkpointable)
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over counters, action noise and weights, whichever are there."""
        super().set_state({name: part for name, part in state.items() if name != PLAYER})
        if PLAYER in state:
            for generator, saved in zip(self.noise, state[PLAYER]["noise"], strict=True):
                generator.set_state(torch.from_numpy(saved))

    @override(EnvRunner)
    def stop(self) -> None:
        """Close the environment."""
        super().stop()
        self._playing = None


def _of_members(stats: PlayStats, members: int, tasks: TaskReturns | None) -> PlayStats:
    """Return what members did from what their task members did."""
    return PlayStats(
        stats.ended.reshape(members, -1).sum(axis=1),
        stats.return_sum.reshape(members, -1).sum(axis=1),
        {name: level.reshape(members, -1).mean(axis=1) for name, level in stats.measures.items()},
        tasks,
    )
