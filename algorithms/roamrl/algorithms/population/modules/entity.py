"""Stacked networks on sets: one policy for every station or user of a cell, however many there are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.distributions import action_head
from roamrl.algorithms.population.modules.entity_networks import (
    Arithmetic,
    EntityConfig,
    EntityNetworks,
    entity_slots,
    fill_absent,
    without_absent,
)
from roamrl.algorithms.population.modules.mlp import standardised
from roamrl.algorithms.population.modules.present_statistics import PresentStatistics
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.envs.errors import InputError

KIND = "entity"


class StackedEntities(StackedModule):
    """P policies on observations [E, O] of at most E entities: stations that share a channel, users of a cell.

    Column 0 of an observation is 1 for an entity that is present, 0 for an absent one; absent ones come last. All
    entities share one network. Where the action is MultiBinary(E), each entity makes a choice of its own, with
    ``interaction: none`` from its own row alone (decentralised execution); a Discrete or Box action belongs to the
    cell. The actor is equivariant, or for the cell's action invariant,
    to permutations of the entities. The critic is centralised in every case: it sees all of them (centralised training
    with decentralised execution: Yu et al., "The surprising effectiveness of PPO in cooperative multi-agent games",
    NeurIPS 2022).

    Arrays do not depend on E: :func:`with_entities` makes the same policy for another number. What the networks say of
    a cell does not depend on absent entities, up to rounding; trailing ones that no cell of a batch has are left out.
    """

    observations: PresentStatistics

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        self.entities, self.observation_size = _observed(spec)
        head = action_head(spec.action_space)
        if isinstance(spec.action_space, spaces.MultiBinary) and head.action_shape != (self.entities,):
            raise InputError(
                f"the module kind 'entity' gives each of {self.entities} entities one choice, got actions "
                f"{spec.action_space!r}; make them MultiBinary({self.entities}), or a Discrete or Box of the whole cell"
            )
        self.config = EntityConfig.from_json(spec.model)
        super().__init__(
            spec, members, entity_slots(self.config, self.observation_size - 1, head), self.observation_size
        )
        self.observations = PresentStatistics(members, self.observation_size)
        activation = self.config.body.activation
        self._networks, self._fusible = (
            EntityNetworks(self.config, self.layout, self.head, arithmetic)
            for arithmetic in (Arithmetic.in_place(activation), Arithmetic.fusible(activation))
        )

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
        """Standardise observations [P, N, E, O] and clip them at 10 deviations; absent rows become 0.

        E may be any number up to that of the spec.

        Raises:
            InputError: If rows have another size or entities are too many.
        """
        if obs.shape[2] > self.entities or obs.shape[3] != self.observation_size:
            raise InputError(
                f"expected observations of at most {self.entities} entities with {self.observation_size} numbers, got "
                f"{list(obs.shape)}; with_entities() makes the same policy for another number"
            )
        rows = obs.to(self.weights.dtype)
        if not self.config.body.normalise:
            return rows
        presence = rows[..., :1]
        prepared = standardised(rows.flatten(1, 2), self.observations).view(rows.shape).mul_(presence)
        prepared[..., :1] = presence
        return prepared

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take the present of observations [P, N, E, O] into the statistics, except for held members ([P] bool)."""
        if self.config.body.normalise:
            self.observations.update(without_absent(obs), held)

    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N] of prepared observations [p, N, E, O]."""
        logits, values = self._networks.logits_and_values(without_absent(prepared), weights)
        return fill_absent(logits, self.head, self.entities), values

    def differentiable(self) -> Evaluate:
        """Return :meth:`evaluate` by torch's own operations, of shapes that do not depend on who is present."""
        networks, head, entities = self._fusible, self.head, self.entities

        def evaluate(prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            logits, values = networks.logits_and_values(prepared, weights)
            return fill_absent(logits, head, entities), values

        return evaluate

    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return logits [P, N, A] of prepared observations [P, N, E, O]."""
        logits = self._networks.logits(without_absent(prepared), self.weights)
        return fill_absent(logits, self.head, self.entities)

    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return standardised values [P, N] of prepared observations [P, N, E, O]."""
        return self._networks.values(without_absent(prepared), self.weights)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] and values [P, N], in units of return, of observations [P, N, E, O]."""
        return super().forward(without_absent(obs))

    def logits(self, obs: Tensor) -> Tensor:
        """Return logits [P, N, A] of observations [P, N, E, O]."""
        return super().logits(without_absent(obs))

    def values(self, obs: Tensor) -> Tensor:
        """Return values [P, N], in units of return, of observations [P, N, E, O]."""
        return super().values(without_absent(obs))


def with_entities(bundle: PolicyBundle, count: int) -> PolicyBundle:
    """Return the same policy for cells of at most ``count`` entities; it shares the arrays.

    Raises:
        InputError: If the policy is not of kind ``entity``, or bounds of its observations differ between entities.
    """
    spec = bundle.spec
    if spec.kind != KIND:
        raise InputError(f"a policy of kind {spec.kind!r} is made for its number of inputs; use the kind {KIND!r}")
    if count < 1:
        raise InputError(f"a cell has room for at least one entity, got {count}")
    _observed(spec)
    assert isinstance(spec.observation_space, spaces.Box)
    low, high = (_repeated(bound, count) for bound in (spec.observation_space.low, spec.observation_space.high))
    actions = spec.action_space
    return PolicyBundle(
        replace(
            spec,
            observation_space=spaces.Box(low, high, dtype=low.dtype.type),
            action_space=spaces.MultiBinary(count) if isinstance(actions, spaces.MultiBinary) else actions,
        ),
        bundle.arrays,
    )


def for_spaces(
    bundle: PolicyBundle, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> PolicyBundle:
    """Return the same policy for these spaces: as it is, or for as many entities as they have.

    Raises:
        InputError: If the policy's spaces differ in anything else.
    """
    spec, wanted = bundle.spec, (observation_space, action_space)
    if (spec.observation_space, spec.action_space) == wanted:
        return bundle
    if spec.kind == KIND and isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 2:
        other = with_entities(bundle, observation_space.shape[0])
        if (other.spec.observation_space, other.spec.action_space) == wanted:
            return other
    apart = ", the number of entities apart" if spec.kind == KIND else ""
    raise InputError(
        f"a policy sees {spec.observation_space} and acts in {spec.action_space}, and would have to see "
        f"{observation_space} and act in {action_space}; they must be the same{apart}: take a policy that was trained "
        "under the same family config"
    )


def _repeated(bound: NDArray[Any], count: int) -> NDArray[Any]:
    if (bound != bound[0]).any():
        raise InputError("the bounds of the policy's observations differ between entities; give all of them the same")
    return np.repeat(bound[:1], count, axis=0)


def _observed(spec: ModuleSpec) -> tuple[int, int]:
    """Return how many entities a spec's observations have, E, and the numbers of each, O."""
    space = spec.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 2 or spec.input_shape[1] < 2:
        raise InputError(
            "the module kind 'entity' reads Box observations [E, O] of E entities whose first number says whether they "
            f"are present, got {space!r}; use the kind 'mlp' for flat observations"
        )
    entities, size = spec.input_shape
    return entities, size
