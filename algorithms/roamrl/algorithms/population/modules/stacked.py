"""The interface of every policy module: P members stacked, one batched product for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.distributions import ActionHead, action_head
from roamrl.algorithms.population.modules.layout import Layout, Slot
from roamrl.algorithms.population.modules.statistics import RunningStatistics
from roamrl.envs.errors import InputError, unknown_name

_OBSERVATION = "observations."
_RETURN = "returns."
_EPSILON = 1e-8

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From prepared observations [p, N, ..] and weights [p, D] to logits [p, N, A] and standardised values [p, N]."""


class StackedModule(nn.Module, ABC):
    """P policies of one kind with weights, observation statistics and return statistics of their own.

    A kind implements :meth:`initialise`, :meth:`prepare`, :meth:`observe`, and on prepared observations
    :meth:`evaluate`, :meth:`differentiable`, :meth:`prepared_logits` and :meth:`prepared_values`. Kinds with memory
    derive from :class:`~roamrl.algorithms.population.modules.memory.MemoryModule`. Nothing a member computes depends on
    another member.

    Attributes:
        spec: The members' common spec.
        members: P.
        head: How logits become actions.
        layout: Where each parameter lies in a row of ``weights``.
        weights: All parameters, [P, D].
        observations: Running statistics of observations, [P, O].
        returns: Running statistics of returns, [P, 1].
        memory_size: Numbers that a policy carries from step to step in each row, H; 0 for kinds without memory.
    """

    memory_size: int = 0

    def __init__(self, spec: ModuleSpec, members: int, slots: Sequence[Slot], observation_size: int) -> None:
        super().__init__()
        if members < 1:
            raise InputError(f"a population needs at least one member, got {members}")
        self.spec = spec
        self.members = members
        self.head: ActionHead = action_head(spec.action_space)
        self.layout = Layout(slots)
        self.weights = nn.Parameter(torch.zeros(members, self.layout.width))
        self.observations = RunningStatistics(members, observation_size)
        self.returns = RunningStatistics(members, 1)

    @abstractmethod
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw a member's fresh weights from a generator."""

    @abstractmethod
    def prepare(self, obs: Tensor) -> Tensor:
        """Turn observations [P, N, *O] into what the networks read (normalised by the member's statistics)."""

    @abstractmethod
    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N] of prepared observations [p, N, ..].

        The weights [p, D] are those of any members (a block of the population, members on their way to other tasks).
        """

    @abstractmethod
    def differentiable(self) -> Evaluate:
        """Return :meth:`evaluate` by torch's own operations, which compilers read; it holds none of the members."""

    @abstractmethod
    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return logits [P, N, A] of prepared observations."""

    @abstractmethod
    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return standardised values [P, N] of prepared observations."""

    @abstractmethod
    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, *O] into the running statistics, except for members that are held ([P] bool)."""

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] and values [P, N], in units of return, of observations [P, N, *O]."""
        logits, values = self.evaluate(self.prepare(obs), self.weights)
        return logits, self.in_return_units(values, obs)

    def logits(self, obs: Tensor) -> Tensor:
        """Return logits [P, N, A] of observations [P, N, *O]."""
        return self.prepared_logits(self.prepare(obs))

    def start_memory(self, rows: int) -> Tensor:
        """Return the memory of nothing, zeros [P, rows, H]."""
        return self.weights.detach().new_zeros(self.members, rows, self.memory_size)

    def step(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] of observations [P, N, *O], and the memory [P, N, H] that they leave behind."""
        return self.logits(obs), memory

    def values(self, obs: Tensor) -> Tensor:
        """Return values [P, N], in units of return, of observations [P, N, *O]."""
        return self.in_return_units(self.prepared_values(self.prepare(obs)), obs)

    def observe_returns(self, returns: Tensor, obs: Tensor, held: Tensor | None = None) -> None:
        """Take the returns [P, N] of observations [P, N, *O] into the running statistics.

        Args:
            returns: The returns.
            obs: Where they were got; kinds with statistics of each task read the task there.
            held: Members whose statistics stay, [P] bool.
        """
        self.returns.update(returns[..., None], held)

    def standardise_returns(self, returns: Tensor, obs: Tensor) -> Tensor:
        """Return the returns [P, N] of observations [P, N, *O] in the critic's units."""
        mean, scale = self.returns.shift_and_scale(_EPSILON)
        return (returns - mean) / scale

    def in_return_units(self, values: Tensor, obs: Tensor) -> Tensor:
        """Return the critic's values [P, N] of observations [P, N, *O] in units of return."""
        mean, scale = self.returns.shift_and_scale(_EPSILON)
        return values * scale + mean

    def trunk_names(self) -> tuple[str, ...]:
        """Return the names that ``layers="trunk"`` takes: all but the output layers and the return statistics."""
        return (*(slot.name for slot in self.layout.slots if slot.trunk), *_statistic_names(_OBSERVATION))

    def member_state(self, member: int) -> dict[str, NDArray[Any]]:
        """Return copies of a member's arrays by name: parameters float32, statistics float64."""
        return {name: _array(tensor).copy() for name, tensor in self._member_tensors(member).items()}

    def load_member_state(
        self, member: int, arrays: Mapping[str, NDArray[Any]], layers: Literal["all", "trunk"] = "all"
    ) -> None:
        """Give a member the arrays of a policy of the same kind.

        Args:
            member: Which member.
            arrays: The arrays of :meth:`member_state`.
            layers: All of them, or only those of :meth:`trunk_names` (the others may then have other shapes).

        Raises:
            InputError: If a name is missing or unknown, a shape or dtype differs, or a number is not finite;
                the member then stays as it was.
        """
        own = self._member_tensors(member)
        for name in arrays:
            if name not in own:
                raise unknown_name("policy array", name, own)
        taken = own.keys() if layers == "all" else self.trunk_names()
        for name in taken:
            _check_array(name, arrays.get(name), own[name])
        for name in taken:
            own[name].copy_(torch.from_numpy(np.array(arrays[name], order="C")))

    def _member_tensors(self, member: int) -> dict[str, Tensor]:
        if not 0 <= member < self.members:
            raise InputError(f"member {member} does not exist: the population has members 0..{self.members - 1}")
        row = self.weights.detach()[member : member + 1]
        tensors = {name: view[0] for name, view in self.layout.views(row).items()}
        for prefix, statistics in ((_OBSERVATION, self.observations), (_RETURN, self.returns)):
            tensors |= {prefix + name: buffer[member] for name, buffer in statistics.named_buffers()}
        return tensors


def _statistic_names(prefix: str) -> list[str]:
    return [prefix + name for name in ("mean", "var", "count")]


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()


def _check_array(name: str, given: NDArray[Any] | None, own: Tensor) -> None:
    if given is None:
        raise InputError(f"the policy lacks the array {name!r}")
    wanted = str(own.dtype).removeprefix("torch.")
    if tuple(given.shape) != tuple(own.shape) or str(given.dtype) != wanted:
        raise InputError(
            f"the policy's array {name!r} is {given.dtype} {tuple(given.shape)}; "
            f"this module expects {wanted} {tuple(own.shape)}"
        )
    if not np.isfinite(given).all():
        raise InputError(f"the policy's array {name!r} holds numbers that are not finite")
    if name.endswith((".var", ".count")) and (given < 0).any():
        raise InputError(f"the policy's array {name!r} holds negative numbers")
