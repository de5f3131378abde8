"""Stacked recurrent policies: an encoder, gated recurrent units, and actor and critic on what they remember."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import raw_columns
from roamrl.algorithms.population.distributions import action_head
from roamrl.algorithms.population.modules.dense import Net, dense_outputs, output
from roamrl.algorithms.population.modules.gru_scan import gru_scan, gru_step
from roamrl.algorithms.population.modules.layout import Slot
from roamrl.algorithms.population.modules.memory import MemoryModule, Sequences
from roamrl.algorithms.population.modules.mlp import MLPConfig, dense_slots, standardised, with_log_std
from roamrl.envs.errors import InputError, unknown_name

_LARGEST = 4096
_GATES = "gru.input"
_RECURRENT = "gru.memory"


@dataclass(frozen=True)
class GRUConfig:
    """Settings of a ``gru`` module.

    Attributes:
        body: Hidden layers of the encoder, activation, normalisation, as of an ``mlp``.
        memory: Recurrent units, H.
        backward_steps: Most steps that a gradient goes back through; None for all of a rollout's. A rollout is cut into
            sequences of the greatest length not above it that leaves no rest, each with the memory it began with.
    """

    body: MLPConfig
    memory: int = 64
    backward_steps: int | None = None

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> GRUConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        own = {"memory", "backward_steps"}
        body_names = {field.name for field in fields(MLPConfig)} - {"shared_trunk"}
        for name in model:
            if name not in own | body_names:
                raise unknown_name("gru setting", str(name), own | body_names)
        body = MLPConfig.from_json({name: value for name, value in model.items() if name in body_names})
        memory, steps = model.get("memory", cls.memory), model.get("backward_steps")
        if isinstance(memory, bool) or not isinstance(memory, int) or not 1 <= memory <= _LARGEST:
            raise InputError(f"a gru's memory is a whole number in 1..{_LARGEST}, got {memory!r}")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
            raise InputError(f"backward_steps is a whole number from 1, or null for all, got {steps!r}")
        return cls(body, memory, steps)


class StackedGRU(MemoryModule):
    """P recurrent policies on flat observations.

    The encoder's last layer feeds the units; actor and critic are linear in what the units remember. Observations are
    standardised like an ``mlp``'s; bits and noise among the extras stay as they are.
    """

    _raw: Tensor

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        if not isinstance(spec.observation_space, spaces.Box):
            raise InputError(f"the module kind 'gru' reads Box observations, got {spec.observation_space!r}")
        self.config = GRUConfig.from_json(spec.model)
        self.observation_size = math.prod(spec.input_shape)
        self.memory_size = self.config.memory
        self.backward_steps = self.config.backward_steps
        layers = tuple(f"encoder.{layer}" for layer in range(len(self.config.body.hidden)))
        self.encoder = Net(layers, (_GATES,), self.config.body.activation)
        super().__init__(spec, members, self._slots(spec), self.observation_size)
        self.register_buffer("_raw", torch.from_numpy(raw_columns(spec)), persistent=False)

    def _slots(self, spec: ModuleSpec) -> list[Slot]:
        head, hidden, size = action_head(spec.action_space), self.config.body.hidden, self.memory_size
        slots = []
        for layer, inputs, outputs in zip(self.encoder.hidden, (self.observation_size, *hidden), hidden, strict=False):
            slots += dense_slots(layer, inputs, outputs, trunk=True)
        slots += dense_slots(_GATES, hidden[-1], 3 * size, trunk=True)
        slots += dense_slots(_RECURRENT, size, 3 * size, trunk=True)
        slots += dense_slots("actor.head", size, head.outputs, trunk=False)
        if head.log_stds:
            slots.append(Slot("actor.log_std", (head.log_stds,), trunk=False))
        return slots + dense_slots("critic.head", size, 1, trunk=False)

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights, each gate for itself; zero biases.

        Gains are sqrt(2) in the encoder, 1 in the units and for the value, 0.01 for the policy.
        """
        gains = {"actor.head.weight": 0.01, "critic.head.weight": 1.0}
        own = self._member_tensors(member)
        for slot in self.layout.slots:
            fresh = torch.zeros(slot.shape)
            if slot.name in (f"{_GATES}.weight", f"{_RECURRENT}.weight"):
                for gate in fresh.chunk(3, dim=1):
                    gate.copy_(nn.init.orthogonal_(torch.empty(gate.shape), generator=generator))
            elif slot.name.endswith(".weight"):
                nn.init.orthogonal_(fresh, gains.get(slot.name, math.sqrt(2.0)), generator=generator)
            own[slot.name].copy_(fresh)

    def prepare(self, obs: Tensor) -> Tensor:
        """Flatten observations [P, N, *O] to [P, N, I], standardise them and clip them at 10 deviations."""
        flat = obs.reshape(*obs.shape[:2], self.observation_size).to(self.weights.dtype)
        if not self.config.body.normalise:
            return flat
        return torch.where(self._raw, flat, standardised(flat, self.observations))

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, *O] into the running statistics, except for members that are held ([P] bool)."""
        if self.config.body.normalise:
            self.observations.update(obs.reshape(*obs.shape[:2], self.observation_size), held)

    def step(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] of observations [P, N, *O], and the memory [P, N, H] that they leave behind."""
        named = self.layout.views(self.weights)
        memory = self._remember(obs, memory, named)
        logits = output(memory, named, "actor.head").mT
        return with_log_std(self.head, self.layout, logits, self.weights), memory

    def step_values(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Return values [P, N], in units of return, of observations [P, N, *O] met with memory [P, N, H]."""
        named = self.layout.views(self.weights)
        values = output(self._remember(obs, memory, named), named, "critic.head").squeeze(1)
        return self.in_return_units(values, obs)

    def _remember(self, obs: Tensor, memory: Tensor, named: Mapping[str, Tensor]) -> Tensor:
        features, *_ = self.encoder.features(self.prepare(obs), named)
        gates = output(features, named, _GATES)
        weight, bias = named[f"{_RECURRENT}.weight"], named[f"{_RECURRENT}.bias"]
        return gru_step(gates, memory.mT, weight, bias).mT

    def evaluate(self, prepared: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, S * L, A] and standardised values [p, S * L] of :class:`Sequences`, weights [p, D]."""
        memories = self._scan(prepared, weights)
        named = self.layout.views(weights)
        logits, values = (_heads(memories, named, layer) for layer in ("actor.head", "critic.head"))
        return with_log_std(self.head, self.layout, logits.mT, weights), values.squeeze(1)

    @torch.no_grad()
    def unroll(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Return standardised values [P, S * L] and the memories after each step, [P, S, L, H]; without gradient."""
        memories = self._scan(sequences, self.weights)
        values = _heads(memories, self.layout.views(self.weights), "critic.head")
        return values.squeeze(1), memories.permute(1, 3, 0, 2)

    def _scan(self, sequences: Sequences, weights: Tensor) -> Tensor:
        """Return the memories after every step of sequences, [L, p, H, S]."""
        members, count, length, width = sequences.inputs.shape
        by_step = sequences.inputs.transpose(1, 2).reshape(members, length * count, width)
        (gates,) = dense_outputs(by_step, weights, self.layout, (self.encoder,))
        gates = gates.view(members, -1, length, count).permute(2, 0, 1, 3).contiguous()
        named = self.layout.views(weights)
        starts = sequences.starts.permute(2, 0, 1)
        return gru_scan(gates, sequences.memory.mT, starts, named[f"{_RECURRENT}.weight"], named[f"{_RECURRENT}.bias"])


def _heads(memories: Tensor, named: Mapping[str, Tensor], layer: str) -> Tensor:
    """Return an output layer on memories [L, p, H, S], rows ordered by sequence and step: [p, A, S * L]."""
    length, members, size, count = memories.shape
    turned = memories.permute(1, 2, 0, 3).reshape(members, size, length * count)
    rows = torch.baddbmm(named[f"{layer}.bias"][:, :, None], named[f"{layer}.weight"].mT, turned)
    return rows.unflatten(2, (length, count)).transpose(2, 3).flatten(2)
