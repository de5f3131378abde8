"""Batches of sequences, for modules with memory: a minibatch is some sub-environments' steps in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.population.losses import Minibatch
from roamrl.algorithms.population.modules.memory import MemoryModule, Sequences
from roamrl.algorithms.population.rollout import Rollout, padded_finals
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class Recurrence:
    """How the rows of a batch are S sequences of L steps each, and what is remembered where.

    Attributes:
        memory: Memory before each sequence's first step, [P, S, H].
        starts: Whether the memory begins anew before a step, [P, S, L] bool.
    """

    memory: Tensor
    starts: Tensor

    @property
    def length(self) -> int:
        """L."""
        return self.starts.shape[2]

    def to(self, device: torch.device | str) -> Recurrence:
        """Return the same on a device."""
        return Recurrence(self.memory.to(device), self.starts.to(device))

    def sequences(self, prepared: Tensor) -> Sequences:
        """Return prepared observations [P, S * L, ..] as sequences."""
        return Sequences(prepared.unflatten(1, self.starts.shape[1:]), self.memory, self.starts)


@dataclass(frozen=True)
class SequenceMinibatch(Minibatch):
    """The same s sequences of each of P members.

    ``prepared`` are :class:`~roamrl.algorithms.population.modules.memory.Sequences`, the other columns their rows in
    the order of (sequence, step).
    """

    prepared: Any

    def take(self, rows: Tensor) -> SequenceMinibatch:
        """Return the given sequences ([s] int64) of every member."""
        shape = self.prepared.starts.shape[1:]
        rest = (column.unflatten(1, shape).index_select(1, rows).flatten(1, 2) for column in self.columns[1:])
        return SequenceMinibatch(self.prepared.take(rows), *rest)

    def block(self, members: slice, rows: slice) -> SequenceMinibatch:
        """Return a view on the sequences of some members that have the given rows; both ends lie between sequences."""
        length = self.prepared.starts.shape[2]
        sequences = slice(rows.start // length, -(-rows.stop // length))
        rest = (column[members, rows] for column in self.columns[1:])
        return SequenceMinibatch(self.prepared.block(members, sequences), *rest)

    def of_members(self, members: Tensor) -> Minibatch:
        """Refuse: rows that are sorted by task are no sequences.

        Raises:
            InputError: Always.
        """
        raise InputError("gradients of each task need modules without memory; choose the module kind 'mlp'")


def by_sequence(array: NDArray[Any]) -> NDArray[Any]:
    """Turn [T, P, B, ..] into rows in the order of (sub-environment, step), [P, B * T, ..]."""
    return np.ascontiguousarray(np.moveaxis(array, 0, 2)).reshape(
        array.shape[1], array.shape[2] * array.shape[0], *array.shape[3:]
    )


def memory_values(module: MemoryModule, obs: Tensor, rollout: Rollout) -> tuple[NDArray[Any], NDArray[Any], Recurrence]:
    """Return the values of all observations and of what followed them, both [T, P, B], and what is remembered where.

    Each observation is met with the memory of its own past: also the one after the last step, and those in which
    truncated episodes ended, before the memory began anew.

    Args:
        module: The population.
        obs: The rollout's observations as :func:`by_sequence` orders them, [P, B * T, *O].
        rollout: What the members did.

    Raises:
        InputError: If the rollout does not say with which memory it began.
    """
    if rollout.first_memory is None:
        raise InputError("a module with memory learns from rollouts that it played itself: 'first_memory' is missing")
    device, steps = obs.device, len(rollout)
    ended = torch.from_numpy(rollout.terminated | rollout.truncated).permute(1, 2, 0).to(device)
    starts = torch.cat([torch.zeros_like(ended[..., :1]), ended[..., :-1]], dim=2)
    whole = Recurrence(torch.from_numpy(rollout.first_memory).to(device), starts)
    with torch.inference_mode():
        standardised, memories = module.unroll(whole.sequences(module.prepare(obs)))
        now = module.in_return_units(standardised, obs).unflatten(1, starts.shape[1:])
        last_memory = memories[:, :, -1].masked_fill(ended[..., -1:], 0.0)
        after = module.step_values(torch.from_numpy(np.ascontiguousarray(rollout.last_obs)).to(device), last_memory)
        finals = _final_values(module, memories, rollout)
    values = np.ascontiguousarray(now.permute(2, 0, 1).cpu().numpy())
    next_values = np.concatenate([values[1:], after.cpu().numpy()[None]])
    next_values[tuple(rollout.final_at.T)] = finals
    return values, next_values, _cut(whole, memories, _length(steps, module.backward_steps))


def _final_values(module: MemoryModule, memories: Tensor, rollout: Rollout) -> NDArray[Any]:
    """Return the values of the observations in which truncated episodes ended, [F]."""
    padded, places = padded_finals(rollout)
    if not len(places):
        return np.zeros(0, np.float32)
    step, member, env = (torch.from_numpy(column).to(memories.device) for column in rollout.final_at.T)
    memory = memories.new_zeros(*padded.shape[:2], memories.shape[-1])
    memory[member, torch.from_numpy(places).to(memories.device)] = memories[member, env, step]
    values = module.step_values(torch.from_numpy(padded).to(memories.device), memory)
    return values.cpu().numpy()[rollout.final_at[:, 1], places]


def _length(steps: int, most: int | None) -> int:
    """Return the greatest length up to ``most`` in which ``steps`` are cut without a rest."""
    return next(length for length in range(min(steps, most or steps), 0, -1) if steps % length == 0)


def _cut(whole: Recurrence, memories: Tensor, length: int) -> Recurrence:
    """Cut sequences into pieces, each with the memory that the step before it left behind."""
    pieces = whole.starts.unflatten(2, (-1, length)).flatten(1, 2)
    before = torch.cat([whole.memory[:, :, None], memories[:, :, length - 1 : -1 : length]], dim=2)
    return Recurrence(before.flatten(1, 2), pieces)
