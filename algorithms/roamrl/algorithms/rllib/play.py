"""Play: one rollout of all members over their rows, without an object per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.rllib.environments import Rows
from roamrl.algorithms.rllib.exploration import EpsilonGreedy
from roamrl.algorithms.rllib.guidance import Guidance
from roamrl.algorithms.rllib.recorder import PlayStats
from roamrl.envs.errors import InputError

Behaviour = Guidance | EpsilonGreedy


class Player:
    """Steps the rows with the members' policies and counts what happens.

    Attributes:
        rows: The environment, member-major.
        noise: Generators of action noise, [P].
        envs_per_member: B.
        behaviour: Who acts instead of the policies, now and then: teachers, or chance; None for nobody.
    """

    def __init__(
        self, rows: Rows, noise: list[torch.Generator], envs_per_member: int, behaviour: Behaviour | None = None
    ) -> None:
        self.rows = rows
        self.noise = noise
        self.envs_per_member = envs_per_member
        self.behaviour = behaviour
        self._obs: NDArray[np.float32] | None = None
        self._returns = np.zeros((len(noise), envs_per_member))

    @property
    def started(self) -> bool:
        """Whether the rows are in the middle of episodes that can go on."""
        return self._obs is not None

    def start(self, episode: int) -> None:
        """Start episode number ``episode`` in every row."""
        self._obs = self._split(self.rows.start(episode))
        self._returns[:] = 0.0

    def play(self, module: StackedModule, length: int, gamma: float, steps: int = 0) -> tuple[Rollout, PlayStats]:
        """Play ``length`` steps from where the rows are.

        Args:
            module: The members' policies, on the CPU.
            length: T.
            gamma: Discount a step.
            steps: Environment steps each member has made before, by which teachers' schedules go.
        """
        if self._obs is None:
            raise InputError("play before start; start the rows first")
        shape = (length, len(self.noise), self.envs_per_member)
        tape = _Tape(shape, self._obs.shape[2:], self.rows.measures, self.rows.reward_parts)
        noise = self._draw_noise(module, length)
        actions: list[torch.Tensor] = []
        logits: list[torch.Tensor] = []
        other = self.behaviour
        if other is not None and not other.start(steps, length, self.envs_per_member):
            other = None
        with torch.inference_mode():
            for step in range(length):
                tape.obs[step] = self._obs
                obs = torch.from_numpy(self._obs)
                logits.append(module.logits(obs))
                if other is None:
                    actions.append(module.head.sample(logits[-1], noise[step]))
                else:
                    actions.append(other.act(module.head, step, obs, logits[-1], noise[step]))
                self._step(tape, step, module.head.to_env(actions[-1].numpy()))
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
            discounts=np.full(shape, gamma, np.float32),
            last_obs=self._obs,
            final_at=final_at,
            final_obs=final_obs,
            importance=importance,
            reward_parts=tape.reward_parts,
        )
        return rollout, tape.stats()

    def _draw_noise(self, module: StackedModule, length: int) -> torch.Tensor:
        shape = (len(self.noise), length, self.envs_per_member, module.head.noise_size)
        noise = torch.empty(shape)
        for own, generator in zip(noise, self.noise, strict=True):
            module.head.draw_noise(own, generator)
        return noise.transpose(0, 1)

    def _step(self, tape: _Tape, step: int, actions: NDArray[Any]) -> None:
        flat = actions.reshape(-1, *actions.shape[2:])
        if flat.dtype.kind == "f":
            flat = np.nan_to_num(flat)  # a member gone astray must not stop the others' environment
        obs, rewards, terminated, truncated, infos = self.rows.env.step(flat)
        split = self._returns.shape
        tape.rewards[step] = rewards.reshape(split)
        tape.terminated[step] = terminated.reshape(split)
        tape.truncated[step] = truncated.reshape(split)
        if tape.reward_parts is not None:
            tape.reward_parts[step] = self.rows.env.reward_parts().reshape(*split, -1)
        self._returns += rewards.reshape(split)
        for name, total in tape.measures.items():
            total += infos[name].reshape(split).sum(axis=1)
        done = (terminated | truncated).reshape(split)
        if done.any():
            tape.ended += done.sum(axis=1)
            tape.return_sum += np.where(done, self._returns, 0.0).sum(axis=1)
            self._returns[done] = 0.0
            tape.keep_finals(step, np.flatnonzero(truncated), infos)
        self._obs = self._split(obs)

    def _split(self, obs: NDArray[Any]) -> NDArray[np.float32]:
        return obs.astype(np.float32, copy=False).reshape(*self._returns.shape, *obs.shape[1:])

    def state(self) -> dict[str, Any]:
        """Return everything the next rollout depends on, the policies apart."""
        return {
            "envs_per_member": self.envs_per_member,
            "noise": [generator.get_state().numpy() for generator in self.noise],
            "behaviour": None if self.behaviour is None else self.behaviour.state(),
            "obs": self._obs,
            "returns": self._returns.copy(),
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
        self.rows.restore(state["rows"])

    def close(self) -> None:
        """Close the environment."""
        self.rows.env.close()


class _Tape:
    """The arrays that a rollout fills."""

    def __init__(
        self, shape: tuple[int, int, int], obs_shape: tuple[int, ...], measures: Sequence[str], parts: int
    ) -> None:
        self.obs = np.empty((*shape, *obs_shape), np.float32)
        self.rewards = np.empty(shape, np.float32)
        self.terminated = np.empty(shape, np.bool_)
        self.truncated = np.empty(shape, np.bool_)
        self.reward_parts = np.empty((*shape, parts), np.float32) if parts else None
        self.measures = {name: np.zeros(shape[1]) for name in measures}
        self.ended = np.zeros(shape[1], np.int64)
        self.return_sum = np.zeros(shape[1])
        self._final_at: list[NDArray[np.int64]] = []
        self._final_obs: list[NDArray[np.float32]] = []

    def keep_finals(self, step: int, rows: NDArray[np.int64], infos: Mapping[str, Any]) -> None:
        """Keep the observations in which the rows' truncated episodes ended."""
        if not len(rows):
            return
        member, index = np.divmod(rows, self.rewards.shape[2])
        self._final_at.append(np.stack([np.full(len(rows), step), member, index], axis=1))
        self._final_obs.append(np.stack(list(infos["final_obs"][rows])).astype(np.float32, copy=False))

    def finals(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return where truncated episodes ended, [F, 3], and in what, [F, *O]."""
        if not self._final_at:
            return np.zeros((0, 3), np.int64), np.zeros((0, *self.obs.shape[3:]), np.float32)
        return np.concatenate(self._final_at), np.concatenate(self._final_obs)

    def stats(self) -> PlayStats:
        """Return what the members did."""
        steps = self.rewards.shape[0] * self.rewards.shape[2]
        return PlayStats(self.ended, self.return_sum, {name: total / steps for name, total in self.measures.items()})
