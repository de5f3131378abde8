"""Trials: what rows carry from step to step beside their environment, and when it begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import Feedback
from roamrl.algorithms.population.modules.stacked import StackedModule


class Trials:
    """Memory, feedback and held noise of B rows of each of P members, and how far each row is in its trial.

    A trial is as many consecutive episodes on one task as the module's extras say, mostly one. Memory and feedback are
    kept from episode to episode within it, and begin anew with the next; noise is drawn for every episode, out of the
    members' own generators, so that a member's does not depend on P.
    """

    def __init__(self, spec: ModuleSpec, generators: list[torch.Generator], envs_per_member: int) -> None:
        self._generators = generators
        self._shape = (len(generators), envs_per_member)
        self._episodes = spec.extras.trial_episodes
        self._noise = spec.extras.noise
        self._feedback = Feedback(spec, self._shape) if spec.extras.feedback or self._noise else None
        self._played = np.zeros(self._shape, np.int64)
        self._memory: Tensor | None = None
        self._next_noise: NDArray[np.float32] | None = None

    def start(self) -> None:
        """Begin a trial in every row."""
        self._played[:] = 0
        self._memory = None
        if self._feedback is not None:
            self._feedback.begin()
            if self._noise:
                self._feedback.noise[...] = self._draw(1)[0]

    def ready(self, module: StackedModule, length: int) -> NDArray[np.float32] | None:
        """Get ready for a rollout of ``length`` steps and return what is remembered before it, [P, B, H] or None."""
        if self._noise:
            self._next_noise = self._draw(length)
        if not module.memory_size:
            return None
        if self._memory is None:
            self._memory = module.start_memory(self._shape[1])
        return self._memory.numpy().copy()

    def logits(self, module: StackedModule, obs: Tensor) -> Tensor:
        """Return the members' logits [P, B, A] on what they read, [P, B, *O], and remember it."""
        if self._memory is None:
            return module.logits(obs)
        logits, self._memory = module.step(obs, self._memory)
        return logits

    def columns(self) -> NDArray[np.float32] | None:
        """Return what is read between the observations and what is told of the task, [P, B, C]; None for nothing."""
        return None if self._feedback is None else self._feedback.columns

    def take(self, actions: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Take in a step: the environment's actions [P, B, *A] and rewards [P, B]."""
        if self._feedback is not None:
            self._feedback.take(actions, rewards)

    def over(self, ended: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Count the episodes that a step ended, [P, B], and return those that were their trial's last."""
        if self._episodes == 1:
            return ended
        self._played += ended
        over = ended & (self._played == self._episodes)
        self._played[over] = 0
        return over

    def end(self, step: int, ended: NDArray[np.bool_], over: NDArray[np.bool_]) -> None:
        """Go on to the next episodes where step ``step`` of the rollout ended one, to the next trials where it did."""
        if self._memory is not None and over.any():
            self._memory = self._memory.masked_fill(torch.from_numpy(over)[..., None], 0.0)
        if self._feedback is not None:
            self._feedback.mark(ended, over)
            if self._next_noise is not None:
                self._feedback.noise[ended] = self._next_noise[step][ended]

    def _draw(self, length: int) -> NDArray[np.float32]:
        """Return noise for episodes that may begin after each of so many steps, [T, P, B, Z]."""
        draws = torch.empty(self._shape[0], length, self._shape[1], self._noise)
        for own, generator in zip(draws, self._generators, strict=True):
            own.normal_(generator=generator)
        return draws.transpose(0, 1).numpy()

    def state(self) -> dict[str, Any]:
        """Return everything the next rollout depends on, the generators apart."""
        return {
            "played": self._played.copy(),
            "memory": None if self._memory is None else self._memory.numpy().copy(),
            "feedback": None if self._feedback is None else self._feedback.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        self._played = state["played"].copy()
        self._memory = None if state["memory"] is None else torch.from_numpy(state["memory"].copy())
        if self._feedback is not None:
            self._feedback.restore(state["feedback"])
