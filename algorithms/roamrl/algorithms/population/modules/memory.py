"""The interface of policies that carry a memory from step to step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class Sequences:
    """S sequences of L steps of each of p members, as a memory module's networks read them.

    Attributes:
        inputs: Prepared observations, [p, S, L, I].
        memory: Memory before the first step, [p, S, H].
        starts: Whether the memory begins anew, as zeros, before a step, [p, S, L] bool.
    """

    inputs: Tensor
    memory: Tensor
    starts: Tensor

    def take(self, sequences: Tensor) -> Sequences:
        """Return the given sequences ([s] int64) of every member."""
        return Sequences(*(part.index_select(1, sequences) for part in (self.inputs, self.memory, self.starts)))

    def block(self, members: slice, sequences: slice) -> Sequences:
        """Return a view on some sequences of some members."""
        return Sequences(*(part[members, sequences] for part in (self.inputs, self.memory, self.starts)))


class MemoryModule(StackedModule):
    """P policies with a memory of H numbers in each row: zeros at first, and whatever :meth:`step` makes of it.

    Rows of a batch are whole sequences, ordered by sequence and step: ``prepared`` observations are
    :class:`Sequences`, and gradients go back through all steps of one (to where its memory begins anew).

    A kind implements :meth:`initialise`, :meth:`prepare`, :meth:`observe`, :meth:`step`, :meth:`step_values`,
    :meth:`unroll` and :meth:`evaluate`.

    Attributes:
        backward_steps: Most steps that a gradient goes back through; None for all of a rollout's.
    """

    backward_steps: int | None = None

    @abstractmethod
    def step(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] of observations [P, N, *O], and the memory [P, N, H] that they leave behind."""

    @abstractmethod
    def step_values(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Return values [P, N], in units of return, of observations [P, N, *O] met with memory [P, N, H]."""

    @abstractmethod
    def unroll(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Return standardised values [P, S * L] and the memories after each step, [P, S, L, H]; without gradient."""

    @abstractmethod
    def evaluate(self, prepared: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, S * L, A] and standardised values [p, S * L] of :class:`Sequences`, weights [p, D]."""

    def differentiable(self) -> Evaluate:
        """Refuse: a loop over steps is more than the compiler is worth.

        Raises:
            InputError: Always.
        """
        raise InputError(f"modules of kind {self.spec.kind!r} have no compiled path; set 'compiled: false' under 'ppo'")

    def forward(self, obs: Tensor) -> NoReturn:
        """Refuse: what a policy with memory does depends on more than the observation."""
        self._refuse()

    def logits(self, obs: Tensor) -> NoReturn:
        """Refuse, as :meth:`forward`."""
        self._refuse()

    def values(self, obs: Tensor) -> NoReturn:
        """Refuse, as :meth:`forward`."""
        self._refuse()

    def prepared_logits(self, prepared: Tensor) -> NoReturn:
        """Refuse, as :meth:`forward`."""
        self._refuse()

    def prepared_values(self, prepared: Tensor) -> NoReturn:
        """Refuse, as :meth:`forward`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"policies of kind {self.spec.kind!r} carry a memory and cannot be asked about an observation alone: use "
            "step(obs, memory), from start_memory(rows) on"
        )
