"""Stacked action values: what each action is worth, or what it earns of each part of the reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.distributions import GreedyHead
from roamrl.algorithms.population.modules.dense import Net, dense_outputs, output
from roamrl.algorithms.population.modules.layout import Slot
from roamrl.algorithms.population.modules.mlp import (
    OBSERVATION_CLIP,
    OBSERVATION_EPSILON,
    MLPConfig,
    dense_slots,
)
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.envs.errors import InputError, unknown_name

_MOST_EXPERTS = 64


@dataclass(frozen=True)
class ActionValueConfig:
    """Settings of a ``q`` module.

    Attributes:
        body: Hidden layers, activation, normalisation, as of an ``mlp``.
        reward_weights: Where the weights w of the reward's K parts stand in the flat observation, as (start, stop);
            the module then learns successor features psi(s, a), [K], reads w from there and has Q = w . psi. None for
            plain action values.
        experts: Finished modules of the same kind whose values are compared with its own: it acts by
            argmax_a max_i Q_i(s, a).
    """

    body: MLPConfig
    reward_weights: tuple[int, int] | None = None
    experts: int = 0

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> ActionValueConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        own = {"reward_weights", "experts"}
        body_names = {field.name for field in fields(MLPConfig)} - {"shared_trunk"}
        for name in model:
            if name not in own | body_names:
                raise unknown_name("setting of the module kind 'q'", str(name), own | body_names)
        body = MLPConfig.from_json({name: value for name, value in model.items() if name in body_names})
        where, experts = model.get("reward_weights"), model.get("experts", 0)
        if where is not None:
            where = tuple(where)
            if len(where) != 2 or not all(isinstance(at, int) for at in where) or not 0 <= where[0] < where[1]:
                raise InputError(f"reward_weights are (start, stop) within the observation, got {where}")
        if isinstance(experts, bool) or not isinstance(experts, int) or not 0 <= experts <= _MOST_EXPERTS:
            raise InputError(f"a module compares 0 to {_MOST_EXPERTS} experts, got {experts!r}")
        return cls(body, where, experts)


class StackedActionValues(StackedModule):
    """P networks of action values on flat observations, each with E finished ones beside it.

    Logits are the values Q(s, a), greatest over the module's own network and its experts. Values are in units of
    (1 - discount) times return, that is of reward a step, so that networks start near the right size. Experts are part
    of the weights and get no gradient; their observation statistics are folded into their first layers.
    """

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        space = spec.observation_space
        if not isinstance(space, spaces.Box):
            raise InputError(f"the module kind 'q' reads Box observations, got {space!r}")
        if not isinstance(spec.action_space, spaces.Discrete):
            raise InputError(
                f"action values need discrete actions, got {spec.action_space!r}; use a policy of kind 'mlp'"
            )
        self.config = ActionValueConfig.from_json(spec.model)
        self.observation_size = math.prod(spec.input_shape)
        where = self.config.reward_weights
        if where is not None and where[1] > self.observation_size:
            raise InputError(f"reward_weights {where} lie outside an observation of {self.observation_size} numbers")
        self.parts = 1 if where is None else where[1] - where[0]
        self.actions = int(spec.action_space.n)
        self.nets = tuple(_net(prefix, self.config) for prefix in _prefixes(self.config))
        super().__init__(spec, members, self._slots(), self.observation_size)
        self.head: GreedyHead = GreedyHead(spec.action_space)

    def _slots(self) -> list[Slot]:
        slots = []
        body = self.config.body
        for prefix in _prefixes(self.config):
            own = prefix == _OWN
            for layer, (rows, columns) in enumerate(
                zip((self.observation_size, *body.hidden), body.hidden, strict=False)
            ):
                slots += dense_slots(f"{prefix}.{layer}", rows, columns, trunk=own)
            slots += dense_slots(f"{prefix}.head", body.hidden[-1], self.actions * self.parts, trunk=False)
        return slots

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights of gain sqrt(2), .01 for the head, zero biases; experts stay zero until loaded."""
        own = self._member_tensors(member)
        for slot in self.layout.slots:
            fresh = torch.zeros(slot.shape)
            if slot.name.startswith(f"{_OWN}.") and slot.name.endswith(".weight"):
                gain = 0.01 if slot.name == f"{_OWN}.head.weight" else math.sqrt(2.0)
                nn.init.orthogonal_(fresh, gain, generator=generator)
            own[slot.name].copy_(fresh)

    def prepare(self, obs: Tensor) -> Tensor:
        """Return observations [P, N, *O] as [P, N, 2 O]: standardised for the own network, then as they are.

        Successor features are of dynamics, not of the reward: the weights w are blanked out of the first half.
        """
        flat = obs.reshape(*obs.shape[:2], self.observation_size).to(self.weights.dtype)
        standard = flat
        if self.config.body.normalise:
            mean, scale = self.observations.shift_and_scale(OBSERVATION_EPSILON)
            standard = (flat - mean[:, None]) * scale.reciprocal()[:, None]
            standard = standard.clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP)
        where = self.config.reward_weights
        if where is not None:
            standard = standard.clone() if standard is flat else standard
            standard[..., slice(*where)] = 0.0
        return torch.cat([standard, flat], dim=-1)

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, *O] into the running statistics, except for members that are held ([P] bool)."""
        if self.config.body.normalise:
            self.observations.update(obs.reshape(*obs.shape[:2], self.observation_size), held)

    def own_parts(self, prepared: Tensor, weights: Tensor) -> Tensor:
        """Return the own network's values by part of the reward, [p, A, K, N]; the gradient goes into weights."""
        (raw,) = dense_outputs(prepared[..., : self.observation_size], weights, self.layout, self.nets[:1])
        return raw.unflatten(1, (self.actions, self.parts))

    def reward_weights(self, prepared: Tensor) -> Tensor:
        """Return the weights of the reward's parts that observations show, [p, N, K]; ones without parts."""
        where = self.config.reward_weights
        if where is None:
            return prepared.new_ones(*prepared.shape[:2], 1)
        shown = prepared[..., self.observation_size :]
        return shown[..., slice(*where)]

    def weighed(self, parts: Tensor, prepared: Tensor) -> Tensor:
        """Return Q = w . psi, [p, A, N], from psi [p, A, K, N]."""
        if self.config.reward_weights is None:
            return parts[:, :, 0]
        return (parts * self.reward_weights(prepared).mT[:, None]).sum(dim=2)

    def best_values(self, prepared: Tensor, weights: Tensor) -> Tensor:
        """Return max_i Q_i(s, a) over the own network and its experts, [p, A, N]; without gradient."""
        with torch.no_grad():
            named = self.layout.views(weights)
            best = self.weighed(self._parts(self.nets[0], prepared[..., : self.observation_size], named), prepared)
            for net in self.nets[1:]:
                theirs = self._parts(net, self._for_experts(prepared), named)
                best = torch.maximum(best, self.weighed(theirs, prepared))
            return best

    def _for_experts(self, prepared: Tensor) -> Tensor:
        return prepared[..., self.observation_size :]

    def _parts(self, net: Net, inputs: Tensor, named: Mapping[str, Tensor]) -> Tensor:
        features, *_ = net.features(inputs, named)
        return output(features, named, net.outputs[0]).unflatten(1, (self.actions, self.parts))

    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return action values [p, N, A] and the greatest of them [p, N]; without gradient."""
        best = self.best_values(prepared, weights).mT
        return best, best.amax(dim=-1)

    def differentiable(self) -> Evaluate:
        """Refuse: action values are learned from :meth:`own_parts`, which has its gradient written out."""
        raise InputError("modules of kind 'q' have no compiled path; leave 'compiled' false")

    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return action values [P, N, A] of prepared observations."""
        return self.best_values(prepared, self.weights).mT

    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return the greatest action values [P, N] of prepared observations."""
        return self.prepared_logits(prepared).amax(dim=-1)


def with_experts(fresh: PolicyBundle, experts: Sequence[PolicyBundle]) -> PolicyBundle:
    """Return a bundle of ``fresh``'s spec (which has room for so many experts) with the experts' networks in it.

    An expert's observation statistics go into its first layer: W' = W / deviation, b' = b - (mean / deviation) W; the
    clipping of outliers is left out.

    Raises:
        InputError: If an expert is of another kind or shape, or their number is not the spec's.
    """
    config = ActionValueConfig.from_json(fresh.spec.model)
    if len(experts) != config.experts:
        raise InputError(f"{len(experts)} experts for a module with room for {config.experts}")
    arrays: dict[str, NDArray[Any]] = dict(fresh.arrays)
    for number, expert in enumerate(experts):
        for name, array in _folded(expert).items():
            target = name.replace(_OWN, f"expert{number}", 1)
            if target not in arrays or arrays[target].shape != array.shape:
                raise InputError(
                    f"expert {number} has {name} {array.shape}, which does not fit the learner's network; experts and "
                    "learner share their hidden layers"
                )
            arrays[target] = array
    return PolicyBundle(fresh.spec, arrays)


def _folded(expert: PolicyBundle) -> dict[str, NDArray[np.float32]]:
    if expert.spec.kind != "q":
        raise InputError(f"experts of action values are of kind 'q', got {expert.spec.kind!r}")
    config = ActionValueConfig.from_json(expert.spec.model)
    own = {name: np.asarray(array) for name, array in expert.arrays.items() if name.startswith(f"{_OWN}.")}
    weight, bias = own[f"{_OWN}.0.weight"].astype(np.float64), own[f"{_OWN}.0.bias"].astype(np.float64)
    if config.reward_weights is not None:
        weight[slice(*config.reward_weights)] = 0.0
    if config.body.normalise:
        mean = np.asarray(expert.arrays["observations.mean"], np.float64)
        scale = np.sqrt(np.asarray(expert.arrays["observations.var"], np.float64) + OBSERVATION_EPSILON)
        weight = weight / scale[:, None]
        bias = bias - mean @ weight
    own |= {f"{_OWN}.0.weight": weight, f"{_OWN}.0.bias": bias}
    return {name: array.astype(np.float32) for name, array in own.items()}


_OWN = "q"


def _prefixes(config: ActionValueConfig) -> list[str]:
    return [_OWN, *(f"expert{number}" for number in range(config.experts))]


def _net(prefix: str, config: ActionValueConfig) -> Net:
    hidden = tuple(f"{prefix}.{layer}" for layer in range(len(config.body.hidden)))
    return Net(hidden, (f"{prefix}.head",), config.body.activation)
