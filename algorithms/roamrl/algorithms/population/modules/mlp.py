"""Stacked multilayer perceptrons: actor and critic, apart or on a shared trunk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

import torch
from gymnasium import spaces
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.distributions import ActionHead, action_head
from roamrl.algorithms.population.modules.dense import Activation, Net, dense_outputs, differentiable_outputs, output
from roamrl.algorithms.population.modules.layout import Layout, Slot
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.algorithms.population.modules.statistics import RunningStatistics
from roamrl.envs.errors import InputError, unknown_name

_WIDEST, _DEEPEST = 4096, 8
OBSERVATION_CLIP = 10.0
"""Deviations at which standardised observations are clipped."""

OBSERVATION_EPSILON = 1e-4
"""Added to the variance of observations."""


@dataclass(frozen=True)
class MLPConfig:
    """Settings of an ``mlp`` module.

    Attributes:
        hidden: Width of each hidden layer.
        activation: What follows each hidden layer.
        shared_trunk: Whether actor and critic share their hidden layers.
        normalise: Whether observations are standardised by running statistics.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    shared_trunk: bool = False
    normalise: bool = True

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> MLPConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        names = [field.name for field in fields(cls)]
        for name in model:
            if name not in names:
                raise unknown_name("mlp setting", str(name), names)
        config = cls(**{**model, "hidden": tuple(model.get("hidden", cls.hidden))})
        if config.activation not in get_args(Activation):
            raise unknown_name("activation", str(config.activation), get_args(Activation))
        if not 1 <= len(config.hidden) <= _DEEPEST:
            raise InputError(f"an mlp has 1 to {_DEEPEST} hidden layers, got {len(config.hidden)}")
        for width in config.hidden:
            if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= _WIDEST:
                raise InputError(f"a hidden layer has 1 to {_WIDEST} units, got {width!r}")
        for name in ("shared_trunk", "normalise"):
            if not isinstance(getattr(config, name), bool):
                raise InputError(f"the mlp setting {name!r} is true or false, got {getattr(config, name)!r}")
        return config


class StackedMLP(StackedModule):
    """P multilayer perceptrons on flat observations."""

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        space = spec.observation_space
        if not isinstance(space, spaces.Box):
            raise InputError(f"the module kind 'mlp' reads Box observations, got {space!r}")
        self.config = MLPConfig.from_json(spec.model)
        self.observation_size = math.prod(spec.input_shape)
        self.nets = make_nets(self.config)
        super().__init__(spec, members, mlp_slots(self.config, self.observation_size, spec), self.observation_size)

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights: gain sqrt(2) in hidden layers, 0.01 for the policy, 1 for the value; zero biases."""
        gains = {"actor.head.weight": 0.01, "critic.head.weight": 1.0}
        own = self._member_tensors(member)
        for slot in self.layout.slots:
            fresh = torch.zeros(slot.shape)
            if slot.name.endswith(".weight"):
                nn.init.orthogonal_(fresh, gains.get(slot.name, math.sqrt(2.0)), generator=generator)
            own[slot.name].copy_(fresh)

    def prepare(self, obs: Tensor) -> Tensor:
        """Flatten observations [P, N, *O] to [P, N, O], standardise and clip them at 10 deviations."""
        flat = obs.reshape(*obs.shape[:2], self.observation_size).to(self.weights.dtype)
        if not self.config.normalise:
            return flat
        return standardised(flat, self.observations)

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, *O] into the running statistics, except for members that are held ([P] bool)."""
        if self.config.normalise:
            self.observations.update(obs.reshape(*obs.shape[:2], self.observation_size), held)

    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N] of prepared observations [p, N, O], weights [p, D]."""
        logits, values = dense_outputs(prepared, weights, self.layout, self.nets)
        return with_log_std(self.head, self.layout, logits.mT, weights), values.squeeze(1)

    def differentiable(self) -> Evaluate:
        """Return :meth:`evaluate` by torch's own operations; it holds none of the members."""
        nets, layout, head = self.nets, self.layout, self.head

        def evaluate(prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            logits, values = differentiable_outputs(prepared, weights, layout, nets)
            return with_log_std(head, layout, logits.mT, weights), values.squeeze(1)

        return evaluate

    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return logits [P, N, A] of prepared observations [P, N, O]."""
        named = self.layout.views(self.weights)
        features, *_ = self.nets[0].features(prepared, named)
        return with_log_std(self.head, self.layout, output(features, named, "actor.head").mT, self.weights)

    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return standardised values [P, N] of prepared observations [P, N, O]."""
        named = self.layout.views(self.weights)
        features, *_ = self.nets[-1].features(prepared, named)
        return output(features, named, "critic.head").squeeze(1)


def standardised(flat: Tensor, statistics: RunningStatistics) -> Tensor:
    """Return observations [P, N, O] standardised by each member's statistics and clipped at 10 deviations."""
    mean, scale = statistics.shift_and_scale(OBSERVATION_EPSILON)
    limit = OBSERVATION_CLIP
    return (flat - mean[:, None]).mul_(scale.reciprocal()[:, None]).clamp_(-limit, limit)


def with_log_std(head: ActionHead, layout: Layout, logits: Tensor, weights: Tensor) -> Tensor:
    """Return logits [p, N, A] with the weights' log standard deviations, where the head has some."""
    if not head.log_stds:
        return logits
    return head.with_log_std(logits, layout.views(weights)["actor.log_std"])


def make_nets(config: MLPConfig) -> tuple[Net, ...]:
    """Return the nets of a config: one for actor and critic, or one each."""
    depth = range(len(config.hidden))
    if config.shared_trunk:
        names = tuple(f"trunk.{layer}" for layer in depth)
        return (Net(names, ("actor.head", "critic.head"), config.activation),)
    return tuple(
        Net(tuple(f"{net}.{layer}" for layer in depth), (f"{net}.head",), config.activation)
        for net in ("actor", "critic")
    )


def mlp_slots(config: MLPConfig, inputs: int, spec: ModuleSpec) -> list[Slot]:
    """Return the slots of an mlp on so many inputs."""
    head = action_head(spec.action_space)
    slots = hidden_slots(config, inputs)
    slots += dense_slots("actor.head", config.hidden[-1], head.outputs, trunk=False)
    if head.log_stds:
        slots.append(Slot("actor.log_std", (head.log_stds,), trunk=False))
    return slots + dense_slots("critic.head", config.hidden[-1], 1, trunk=False)


def hidden_slots(config: MLPConfig, inputs: int) -> list[Slot]:
    """Return the slots of a config's hidden layers on so many inputs."""
    slots = []
    for net in ("trunk",) if config.shared_trunk else ("actor", "critic"):
        for layer, (rows, columns) in enumerate(zip((inputs, *config.hidden), config.hidden, strict=False)):
            slots += dense_slots(f"{net}.{layer}", rows, columns, trunk=True)
    return slots


def dense_slots(layer: str, inputs: int, outputs: int, *, trunk: bool) -> list[Slot]:
    """Return the slots of a dense layer: its weight [inputs, outputs] and its bias [outputs]."""
    return [Slot(f"{layer}.weight", (inputs, outputs), trunk), Slot(f"{layer}.bias", (outputs,), trunk)]
