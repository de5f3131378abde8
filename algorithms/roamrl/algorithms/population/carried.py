"""What finished policies carry from step to step in the rows they act in: memory, feedback, held noise."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.feedback import Feedback
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.envs.errors import InputError


class Carried:
    """Memory, feedback and noise of N rows of each of P policies, at the beginning of a trial at first.

    A row whose episode has ended waits: whatever it is shown, it keeps what it carries until its next episode.
    """

    def __init__(self, module: StackedModule, rows: int) -> None:
        self.shape = (module.members, rows)
        self._module = module
        self._memory = module.start_memory(rows)
        self._feedback = Feedback(module.spec, self.shape)
        self._actions: NDArray[Any] | None = None
        self._waiting = np.zeros(self.shape, np.bool_)
        self._noiseless = np.ones(self.shape, np.bool_)

    @staticmethod
    def needed(module: StackedModule) -> bool:
        """Whether policies carry anything at all."""
        return bool(module.memory_size or module.spec.extras.feedback or module.spec.extras.noise)

    def copy(self) -> Carried:
        """Return the same, to go on from as often as need be."""
        other = copy(self)
        other._feedback = Feedback(self._module.spec, self.shape)
        other._feedback.restore(self._feedback.state())
        other._waiting, other._noiseless = self._waiting.copy(), self._noiseless.copy()
        return other

    def columns(self, greedy: bool, rng: np.random.Generator | None) -> NDArray[np.float32]:
        """Return what is read beside the observations, [P, N, C].

        Args:
            greedy: Whether noise is zero; otherwise each episode's is drawn when it is first asked for.
            rng: Source of noise.

        Raises:
            InputError: If noise is needed and there is no source of it.
        """
        if not self._feedback.noise.shape[-1]:
            return self._feedback.columns
        if greedy:
            columns = self._feedback.columns.copy()
            columns[..., columns.shape[-1] - self._feedback.noise.shape[-1] :] = 0.0
            return columns
        if self._noiseless.any():
            if rng is None:
                raise InputError("sampling needs a random generator: give rng, or act greedily")
            drawn = rng.standard_normal(self._feedback.noise.shape).astype(np.float32)
            self._feedback.noise[self._noiseless] = drawn[self._noiseless]
            self._noiseless[:] = False
        return self._feedback.columns

    def logits(self, inputs: Tensor) -> Tensor:
        """Return logits [P, N, A] of what the policies read, [P, N, *O], and remember it."""
        logits, memory = self._module.step(inputs, self._memory)
        if self._waiting.any():
            waiting = torch.from_numpy(self._waiting).to(memory.device)[..., None]
            memory = torch.where(waiting, self._memory, memory)
        self._memory = memory
        return logits

    def acted(self, actions: NDArray[Any]) -> None:
        """Keep the environment's actions [P, N, *A] until it is known what came of them."""
        self._actions = actions

    def after(self, rewards: NDArray[Any], ended: NDArray[np.bool_]) -> None:
        """Take in what came of the last actions: rewards [P, N], and rows whose episode has ended by now, [P, N].

        Raises:
            InputError: If nobody has acted.
        """
        if self._actions is None:
            raise InputError("there is no action that these rewards came of; act first")
        waiting = self._feedback.columns[self._waiting]
        self._feedback.take(self._actions, rewards)
        self._feedback.mark(ended, np.zeros_like(ended))
        self._feedback.columns[self._waiting] = waiting
        self._waiting |= ended

    def next_episode(self) -> None:
        """Begin the next episode of the trial in every row whose episode has ended."""
        self._noiseless |= self._waiting
        self._waiting[:] = False

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Begin a trial in the given rows, [P, N]."""
        forgotten = torch.from_numpy(rows).to(self._memory.device)[..., None]
        self._memory = self._memory.masked_fill(forgotten, 0.0)
        self._feedback.mark(np.zeros_like(rows), rows)
        self._noiseless |= rows
        self._waiting &= ~rows
