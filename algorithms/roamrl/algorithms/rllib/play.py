"""Play: one rollout of all members over their rows, without an object per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from roamrl.algorithms.extras import append
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.rllib.environment_guard import EnvironmentGuard
from roamrl.algorithms.rllib.environments import Rows
from roamrl.algorithms.rllib.exploration import EpsilonGreedy
from roamrl.algorithms.rllib.guidance import Guidance
from roamrl.algorithms.rllib.recorder import PlayStats
from roamrl.algorithms.rllib.task_returns import TaskReturns
from roamrl.algorithms.rllib.trials import Trials
from roamrl.envs.errors import InputError

Behaviour = Guidance | EpsilonGreedy


class Player:
    """Steps the rows with the members' policies and counts what happens.

    Attributes:
        rows: The environment, member-major.
        noise: Generators of action noise, [P].
        envs_per_member: B.
        behaviour: Who acts instead of the policies, now and then: teachers, or chance; None for nobody.
        tasks: K, by which the returns of a rollout are told apart; 0 for not at all.
        guard: Tells what the environment does wrong.
    """

    def __init__(
        self,
        rows: Rows,
        noise: list[torch.Generator],
        envs_per_member: int,
        behaviour: Behaviour | None = None,
        tasks: int = 0,
        guard: EnvironmentGuard | None = None,
    ) -> None:
        self.rows = rows
        self.noise = noise
        self.envs_per_member = envs_per_member
        self.behaviour = behaviour
        self.tasks = tasks
        self.guard = guard or EnvironmentGuard()
        self._obs: NDArray[np.float32] | None = None
        self._returns = np.zeros((len(noise), envs_per_member))
        self._trials = Trials(rows.module, noise, envs_per_member)

    @property
    def started(self) -> bool:
        """Whether the rows are in the middle of episodes that can go on."""
        return self._obs is not None

    def start(self, episode: int) -> None:
        """Start trial number ``episode`` (an episode, mostly) in every row."""
        obs = self.guard.call("reset", self.rows.start, episode)
        self._trials.start()
        self._obs = self._inputs(obs)
        self._returns[:] = 0.0

    def play(
        self, module: StackedModule, length: int, gamma: float | NDArray[np.float64], steps: int = 0
    ) -> tuple[Rollout, PlayStats]:
        """Play ``length`` steps from where the rows are.

        Args:
            module: The members' policies, on the CPU.
            length: T.
            gamma: Discount a step, of all members or of each, [P].
            steps: Environment steps each member has made before, by which teachers' schedules go.
        """
        if self._obs is None:
            raise InputError("play before start; start the rows first")
        shape = (length, len(self.noise), self.envs_per_member)
        tape = _Tape(shape, self._obs.shape[2:], self.rows.measures, self.rows.reward_parts, self.tasks)
        tasks: list[NDArray[np.int64] | None] = []
        first_memory = self._trials.ready(module, length)
        noise = self._draw_noise(module, length)
        actions: list[torch.Tensor] = []
        logits: list[torch.Tensor] = []
        other = self.behaviour
        if other is not None and not other.start(steps, length, self.envs_per_member):
            other = None
        with torch.inference_mode():
            for step in range(length):
                tape.obs[step] = self._obs
                tasks.append(self.rows.task_numbers())
                obs = torch.from_numpy(self._obs)
                logits.append(self._trials.logits(module, obs))
                if other is None:
                    actions.append(module.head.sample(logits[-1], noise[step]))
                else:
                    actions.append(other.act(module.head, step, obs, logits[-1], noise[step]))
                self._step(tape, step, module.head.to_env(actions[-1].numpy()), tasks[-1])
            logp = torch.stack([module.head.log_prob(*pair) for pair in zip(logits, actions, strict=True)])
            importance = None if other is None else other.importance(logp)
        final_at, final_obs = tape.finals()
        rollout = Rollout(
            obs=tape.obs,
            actions=torch.stack(actions).numpy(),
            logp=logp.numpy(),
            rewards=tape.rewards,
            terminated=tape.terminated,
            truncated=tape.truncated,
            discounts=tape.discounts(gamma),
            last_obs=self._obs,
            final_at=final_at,
            final_obs=final_obs,
            importance=importance,
            reward_parts=tape.reward_parts,
            tasks=None if tasks[0] is None else np.stack([own for own in tasks if own is not None]).reshape(shape),
            first_memory=first_memory,
        )
        self.guard.check(rollout)
        return rollout, tape.stats()

    def _draw_noise(self, module: StackedModule, length: int) -> torch.Tensor:
        shape = (len(self.noise), length, self.envs_per_member, module.head.noise_size)
        noise = torch.empty(shape)
        for own, generator in zip(noise, self.noise, strict=True):
            module.head.draw_noise(own, generator)
        return noise.transpose(0, 1)

    def _step(self, tape: _Tape, step: int, actions: NDArray[Any], tasks: NDArray[np.int64] | None) -> None:
        flat = actions.reshape(-1, *actions.shape[2:])
        if flat.dtype.kind == "f":
            flat = np.nan_to_num(flat)  # a member gone astray must not stop the others' environment
        split, told = self._returns.shape, self.rows.extras()
        obs, rewards, terminated, truncated, infos = self.guard.call("step", self.rows.env.step, flat)
        tape.keep_durations(step, self.rows.durations())
        tape.rewards[step] = rewards.reshape(split)
        tape.terminated[step] = terminated.reshape(split)
        tape.truncated[step] = truncated.reshape(split)
        if tape.reward_parts is not None:
            tape.reward_parts[step] = self.rows.env.reward_parts().reshape(*split, -1)
        self._returns += rewards.reshape(split)
        self._trials.take(flat.reshape(*split, *flat.shape[1:]), tape.rewards[step])
        for name, total in tape.measures.items():
            total += infos[name].reshape(split).sum(axis=1)
        ended = (terminated | truncated).reshape(split)
        if ended.any():
            tape.ended += ended.sum(axis=1)
            tape.return_sum += np.where(ended, self._returns, 0.0).sum(axis=1)
            if tape.tasks is not None and tasks is not None:
                tape.tasks.count(ended, tasks.reshape(split), self._returns)
            self._returns[ended] = 0.0
            over = self._trials.over(ended)
            tape.terminated[step] &= over
            tape.truncated[step] &= over
            tape.keep_finals(step, np.flatnonzero(tape.truncated[step]), infos, self._beside(told))
            self._trials.end(step, ended, over)
        self._obs = self._inputs(obs)

    def _inputs(self, obs: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the module reads, [P, B, *O], from the rows' observations."""
        inputs = append(obs, self._beside(self.rows.extras()))
        return inputs.reshape(*self._returns.shape, *obs.shape[1:-1], -1)

    def _beside(self, told: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is read beside the observations, [P * B, C], the last of it what is told of the task."""
        carried = self._trials.columns()
        return told if carried is None else np.concatenate([carried.reshape(len(told), -1), told], axis=1)

    def state(self) -> dict[str, Any]:
        """Return everything the next rollout depends on, the policies apart."""
        return {
            "envs_per_member": self.envs_per_member,
            "noise": [generator.get_state().numpy() for generator in self.noise],
            "behaviour": None if self.behaviour is None else self.behaviour.state(),
            "obs": self._obs,
            "returns": self._returns.copy(),
            "trials": self._trials.state(),
            "rows": self.rows.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result, taken from a player of the same learner and width."""
        for generator, saved in zip(self.noise, state["noise"], strict=True):
            generator.set_state(torch.from_numpy(saved))
        if self.behaviour is not None:
            self.behaviour.restore(state["behaviour"])
        self._obs = state["obs"]
        self._returns = state["returns"].copy()
        self._trials.restore(state["trials"])
        self.guard.call("replay", self.rows.restore, state["rows"])

    def close(self) -> None:
        """Close the environment."""
        self.rows.env.close()


class _Tape:
    """The arrays that a rollout fills."""

    def __init__(
        self, shape: tuple[int, int, int], obs_shape: tuple[int, ...], measures: Sequence[str], parts: int, tasks: int
    ) -> None:
        self.obs = np.empty((*shape, *obs_shape), np.float32)
        self.rewards = np.empty(shape, np.float32)
        self.terminated = np.empty(shape, np.bool_)
        self.truncated = np.empty(shape, np.bool_)
        self.reward_parts = np.empty((*shape, parts), np.float32) if parts else None
        self.measures = {name: np.zeros(shape[1]) for name in measures}
        self.ended = np.zeros(shape[1], np.int64)
        self.return_sum = np.zeros(shape[1])
        self.tasks = TaskReturns.none_yet(shape[1], tasks) if tasks else None
        self._durations: NDArray[np.float64] | None = None
        self._final_at: list[NDArray[np.int64]] = []
        self._final_obs: list[NDArray[np.float32]] = []

    def keep_durations(self, step: int, durations: NDArray[np.float64] | None) -> None:
        """Keep how long a step was in each row, [P * B]; None where every step is one long."""
        if durations is None:
            return
        if self._durations is None:
            self._durations = np.ones(self.rewards.shape)
        self._durations[step] = durations.reshape(self.rewards.shape[1:])

    def discounts(self, gamma: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Return gamma, of all members or of each [P], to the power of each step's length, [T, P, B]."""
        own = np.asarray(gamma, np.float64).reshape(-1, 1)
        if self._durations is None:
            return np.full(self.rewards.shape, own, np.float32)
        return np.power(own, self._durations, dtype=np.float64).astype(np.float32)

    def keep_finals(
        self, step: int, rows: NDArray[np.int64], infos: Mapping[str, Any], extras: NDArray[np.float32]
    ) -> None:
        """Keep what was to be read where the rows' truncated trials ended; ``extras`` are those of the step."""
        if not len(rows):
            return
        member, index = np.divmod(rows, self.rewards.shape[2])
        self._final_at.append(np.stack([np.full(len(rows), step), member, index], axis=1))
        self._final_obs.append(append(np.stack(list(infos["final_obs"][rows])), extras[rows]))

    def finals(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return where truncated episodes ended, [F, 3], and in what, [F, *O]."""
        if not self._final_at:
            return np.zeros((0, 3), np.int64), np.zeros((0, *self.obs.shape[3:]), np.float32)
        return np.concatenate(self._final_at), np.concatenate(self._final_obs)

    def stats(self) -> PlayStats:
        """Return what the members did."""
        steps = self.rewards.shape[0] * self.rewards.shape[2]
        measures = {name: total / steps for name, total in self.measures.items()}
        return PlayStats(self.ended, self.return_sum, measures, self.tasks)
