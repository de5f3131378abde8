"""A population in a toy world of NumPy, and one thread for torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.acting import noise_generators, sample_actions
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper, start_population
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.teachers import Teachers

Spoil = Callable[[int, Rollout], None]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


class Chase:
    """B cells a member: the reward is least when action and the observation's sign disagree; episodes end or are cut.

    A member's cells depend on its seed alone.
    """

    def __init__(self, seeds: Sequence[int], cells: int) -> None:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        self.cells = cells
        self.obs = self._draw()

    def _draw(self):
        return np.stack([rng.normal(2.0, 3.0, (self.cells, 3)) for rng in self.rngs]).astype(np.float32)

    def step(self, actions):
        chosen = actions if actions.dtype.kind == "i" else actions[..., 0] > 0
        rewards = np.where(chosen == (self.obs[..., 0] > 2.0), 1.0, -1.0).astype(np.float32)
        draws = np.stack([rng.random((2, self.cells)) for rng in self.rngs], axis=1)
        terminated = draws[0] < 0.05
        truncated = ~terminated & (draws[1] < 0.05)
        final = self._draw()
        self.obs = np.where((terminated | truncated)[..., None], self._draw(), final)
        return rewards, terminated, truncated, final


class Run:
    """Learning in the toy world, as a runner and a learner would do it."""

    def __init__(self, spec: LearnerSpec) -> None:
        self.spec = spec
        self.module, self.optimiser = start_population(spec)
        self.hyper = MemberHyper.of(spec.members)
        self.teachers = Teachers.of(spec)
        seeds = [member.seed for member in spec.members]
        self.noise = noise_generators(seeds)
        self.world = Chase(seeds, spec.phases[0].envs_per_member)
        self.generator = torch.Generator().manual_seed(7)
        self.stats = []
        self.rewards = []

    def rollout(self) -> Rollout:
        rows = []
        for _ in range(self.spec.phases[0].length):
            obs = self.world.obs
            actions, logp = sample_actions(self.module, torch.from_numpy(obs), self.noise)
            rows.append((obs, actions, logp, *self.world.step(self.module.head.to_env(actions))))
        obs, actions, logp, rewards, terminated, truncated, final = (
            np.stack(column) for column in zip(*rows, strict=True)
        )
        discounts = np.full_like(rewards, self.spec.ppo.gamma)
        final_at = np.argwhere(truncated)
        final_obs = final[tuple(final_at.T)]
        return Rollout(
            obs, actions, logp, rewards, terminated, truncated, discounts, self.world.obs, final_at, final_obs
        )

    def iterate(self, iterations: int, spoil: Spoil = lambda iteration, rollout: None) -> Run:
        for iteration in range(iterations):
            rollout = self.rollout()
            spoil(iteration, rollout)
            self.rewards.append(rollout.rewards.mean(axis=(0, 2)))
            batch = build_batch(self.module, rollout, self.spec.ppo, self.teachers)
            self.stats.append(
                fit(self.module, self.optimiser, batch, self.hyper, self.spec.ppo, self.generator, self.teachers)
            )
        return self


@pytest.fixture
def discrete() -> ModuleSpec:
    return ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,)), spaces.Discrete(2), {"hidden": [16, 16]})


@pytest.fixture
def continuous() -> ModuleSpec:
    return ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1.0, 1.0, (2,)), {"hidden": [16]})


@pytest.fixture
def learner(discrete):
    def make(members: Sequence[MemberSpec], module: ModuleSpec = discrete, ppo: PPOSettings | None = None) -> Run:
        return Run(LearnerSpec(module, tuple(members), (Phase(10, 6, 40),), ppo or PPOSettings()))

    return make
