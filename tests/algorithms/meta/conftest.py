"""A population on tasks of a toy world in NumPy, and one thread for torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.acting import noise_generators, sample_actions
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.meta_learning import start_meta_learning
from roamrl.algorithms.population.modules import build
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.inner_rates import KIND, StackedMLPWithRates
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.task_members import task_members, task_seeds
from roamrl.envs.task import Task

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,))
STEPS, CELLS = 12, 4


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def module_kind(monkeypatch):
    monkeypatch.setitem(build.MODULE_KINDS, KIND, StackedMLPWithRates)


def task(sign: float) -> Task:
    return Task("toy-v1", {}, {"sign": sign})


POOL = tuple(task(sign) for sign in (-1.0, -0.5, 0.5, 1.0))


def make_specification(
    meta, *, seeds=(3, 11), iterations=6, action=None, ppo=None, kind="mlp", cells=CELLS, steps=STEPS, **member
) -> LearnerSpec:
    module = ModuleSpec(kind, OBSERVATIONS, action or spaces.Discrete(2), {"hidden": [8, 8]})
    members = tuple(MemberSpec(seed, POOL, meta=meta, **member) for seed in seeds)
    return LearnerSpec(module, members, (Phase(iterations, cells, steps),), ppo or PPOSettings(epochs=2, minibatches=2))


class SignWorld:
    """A step's reward is the task's sign where action 1 (or a positive number) meets a positive observation, else less.

    What a task member sees depends on its seed, the iteration and nothing else; an episode ends with the rollout.
    """

    def __init__(self, spec: LearnerSpec) -> None:
        self.spec = spec
        self.noise = noise_generators(task_seeds(spec))

    def rollout(self, module, iteration: int) -> Rollout:
        phase = self.spec.phase_of(iteration)
        played = task_members(self.spec, iteration // self.spec.meta.rollouts)
        cells = phase.envs_per_member // self.spec.policies_per_member
        shape = (phase.length, module.members, cells)
        rngs = [np.random.default_rng([member.seed, iteration]) for member in played.members]
        seen = np.stack([rng.normal(1.0, 2.0, (phase.length + 1, cells, 3)) for rng in rngs], axis=1).astype(np.float32)
        signs = np.array([member.tasks[0].context["sign"] for member in played.members])
        actions, logp = zip(
            *(sample_actions(module, torch.from_numpy(row), self.noise) for row in seen[:-1]), strict=True
        )
        chosen = np.stack(actions)
        right = (chosen if chosen.dtype.kind == "i" else chosen[..., 0] > 0) == (seen[:-1, ..., 0] > 1.0)
        rewards = np.where(right, 1.0, -1.0) * signs[:, None]
        ends = np.zeros(shape, np.bool_)
        ends[-1] = True
        return Rollout(
            obs=seen[:-1],
            actions=chosen,
            logp=np.stack(logp),
            rewards=rewards.astype(np.float32),
            terminated=ends,
            truncated=np.zeros(shape, np.bool_),
            discounts=np.full(shape, 0.5, np.float32),
            last_obs=seen[-1],
            final_at=np.zeros((0, 3), np.int64),
            final_obs=np.zeros((0, 3), np.float32),
        )


class MetaRun:
    """Meta-learning in the sign world, as a runner and a learner would do it."""

    def __init__(self, spec: LearnerSpec) -> None:
        self.spec, self.world = spec, SignWorld(spec)
        self.outer, self.optimiser = start_population(spec)
        self.played = build_module(spec.module, task_seeds(spec))
        self.learning = start_meta_learning(spec, self.outer, self.played, self.optimiser)
        self.generator = torch.Generator().manual_seed(7)
        self.iteration = 0
        self.rewards, self.stats = [], []

    def iterate(self, iterations: int, spoil=lambda iteration, rollout: None):
        for _ in range(iterations):
            rollout = self.world.rollout(self.played, self.iteration)
            spoil(self.iteration, rollout)
            self.rewards.append(rollout.rewards.mean(axis=(0, 2)).reshape(self.outer.members, -1))
            self.stats.append(self.learning.learn(rollout, self.generator))
            self.iteration += 1
        return self


@pytest.fixture
def meta_run():
    """Starts meta-learning of a learner in the sign world."""
    return MetaRun


@pytest.fixture
def specification():
    """Makes learners on the sign world."""
    return make_specification


@pytest.fixture
def sign_world():
    """Makes sign worlds of learners."""
    return SignWorld
