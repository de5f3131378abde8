"""Cells with entities that come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.entity import StackedEntities

SIZE = 5
"""Numbers of an entity: whether it is present, and four features."""


@pytest.fixture
def draw_cells() -> Callable[..., Tensor]:
    """Draw observations [P, N, E, O] whose numbers of entities differ from cell to cell, 0 .. ``most``."""

    def draw(members: int, cells: int, entities: int, most: int | None = None, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        counts = torch.randint((entities if most is None else most) + 1, (members, cells, 1), generator=generator)
        presence = (torch.arange(entities) < counts)[..., None]
        obs = 3.0 * torch.randn(members, cells, entities, SIZE, generator=generator) + 1.0
        obs[..., 0] = 1.0
        return obs * presence

    return draw


@pytest.fixture
def entity_spec() -> Callable[..., ModuleSpec]:
    def make(entities: int = 8, actions: spaces.Space | None = None, **model) -> ModuleSpec:
        model = {"hidden": [12, 8], "interaction": "none", **model}
        return ModuleSpec(
            "entity",
            spaces.Box(-np.inf, np.inf, (entities, SIZE)),
            actions or spaces.MultiBinary(entities),
            model,
        )

    return make


@pytest.fixture
def make_entities() -> Callable[..., StackedEntities]:
    """Build a module whose weights are large enough that everything matters."""

    def make(spec: ModuleSpec, seeds: Sequence[int] = (1,)) -> StackedEntities:
        module = build_module(spec, seeds)
        with torch.no_grad():
            for row, seed in zip(module.weights, seeds, strict=True):
                row.add_(0.2 * torch.randn(row.shape, generator=torch.Generator().manual_seed(seed)))
        assert isinstance(module, StackedEntities)
        return module

    return make


class Crowd:
    """B cells a member, one step each: a reward for each entity that acts if and only if it should.

    An entity should act where its first feature exceeds the mean of the others' (``compared``), or 0. All features of a
    cell lie around a level of its own, far apart in comparison with the differences within a cell. A member's cells
    depend on its seed alone.
    """

    def __init__(self, seeds: Sequence[int], cells: int, entities: int, *, compared: bool) -> None:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        self.shape = (cells, entities)
        self.compared = compared
        self.obs = self._draw()

    def _draw(self):
        return np.stack([self._cells(rng) for rng in self.rngs])

    def _cells(self, rng):
        cells, entities = self.shape
        obs = np.zeros((cells, entities, SIZE), np.float32)
        obs[..., 0] = np.arange(entities) < rng.integers(2, entities + 1, (cells, 1))
        level = rng.normal(0.0, 5.0 if self.compared else 0.0, (cells, 1))
        obs[..., 1] = level + rng.normal(size=self.shape)
        obs[..., 2:] = rng.normal(size=(*self.shape, SIZE - 2))
        return obs * obs[..., :1]

    def _wanted(self):
        presence, feature = self.obs[..., 0], self.obs[..., 1]
        others = (feature.sum(axis=-1, keepdims=True) - feature) / (presence.sum(axis=-1, keepdims=True) - 1.0)
        return feature > (others if self.compared else 0.0)

    def step(self, actions):
        presence = self.obs[..., 0]
        right = (actions.astype(bool) == self._wanted()) * presence
        rewards = (right.sum(axis=-1) / presence.sum(axis=-1)).astype(np.float32)
        over = np.ones(rewards.shape, bool)
        self.obs = self._draw()
        return rewards, over, ~over, self.obs


@pytest.fixture
def crowd(learner, entity_spec):
    """Make a run of members among entities of which each has to find out when to act."""

    def make(members, interaction, *, entities=6, compared=False, ppo=None, **model):
        spec = entity_spec(entities, interaction=interaction, **model)
        run = learner(members, spec, ppo)
        seeds = [member.seed for member in members]
        run.world = Crowd(seeds, run.spec.phases[0].envs_per_member, entities, compared=compared)
        return run

    return make
