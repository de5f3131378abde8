"""Two worlds in which a policy without memory cannot do well, and learning in them without a Ray session."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper, start_population
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.play import Player
from roamrl.envs import family as families
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.family import Family
from roamrl.envs.task import Task

CORRIDOR = 5
PULLS = 2
LUCK = 0.9


def chance(*keys):
    """Numbers from 0..1 that look like chance, a function of their keys."""
    factors = (12.9898, 78.233, 37.719, 4.581)[: len(keys)]
    mixed = sum(np.asarray(key, np.float64) * factor for key, factor in zip(keys, factors, strict=True))
    return np.abs(np.sin(mixed) * 43758.5453) % 1.0


class CorridorEnv(BatchedEnv):
    """A sign is shown once; at the corridor's end the turn that it named is worth 1, the other one -1.

    Before the end no action does anything, and at the end all episodes look the same.
    """

    def __init__(self, placement, mode):
        self._t = np.zeros(len(placement), np.int64)
        super().__init__(placement, spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.Discrete(2), mode)

    def _compile(self, tasks):
        pass

    def _sign(self):
        return np.where(chance(self._seeds, self._episodes, self._indices) < 0.5, -1.0, 1.0)

    def _begin(self, rows):
        self._t[rows] = 0

    def _advance(self, actions, active):
        at_end = self._t == CORRIDOR - 1
        self._rewards[:] = np.where(at_end, np.where((actions == 1) == (self._sign() > 0), 1.0, -1.0), 0.0)
        self._terminated[:] = at_end
        self._t += 1

    def _observe(self, rows):
        shown = np.where(self._t == 0, self._sign(), 0.0)
        self._obs[rows] = np.stack([shown, self._t == CORRIDOR - 1], axis=1)[rows]

    def _arrays(self):
        return {"t": self._t}


class BanditEnv(BatchedEnv):
    """Two arms: the task's better one pays 1 with probability .9, the other with .1; an episode has two pulls.

    The observation tells the pull and nothing else; episodes end by their limit.
    """

    def __init__(self, placement, mode):
        self._t = np.zeros(len(placement), np.int64)
        super().__init__(placement, spaces.Box(-1.0, 1.0, (1,), np.float32), spaces.Discrete(2), mode)

    def _compile(self, tasks):
        self._better = np.array([task.context["better"] for task in tasks])

    def _begin(self, rows):
        self._t[rows] = 0

    def _advance(self, actions, active):
        good = np.asarray(actions) == self._better[self._task_rows]
        luck = chance(self._seeds, self._episodes, self._indices, self._t)
        self._rewards[:] = luck < np.where(good, LUCK, 1.0 - LUCK)
        self._t += 1
        self._truncated[:] = self._t >= PULLS

    def _observe(self, rows):
        self._obs[rows, 0] = self._t[rows]

    def _arrays(self):
        return {"t": self._t}


class ToyFamily(Family):
    version, about, measures = 1, "a toy", ()

    def __init__(self, name, env, steps):
        self.name, self._env, self._steps = name, env, steps

    def config(self, overrides=None):
        return {}

    def context_space(self, config):
        raise LookupError("a toy has no context table")

    def spaces(self, config):
        env = self.make_vec([Task(self.id, {}, {"better": 0})])
        return env.single_observation_space, env.single_action_space

    def episode_steps(self, config):
        return self._steps

    def make_placed(self, placement, autoreset_mode="SameStep"):
        return self._env(placement, autoreset_mode)

    def references(self, config):
        return {}

    def splits(self, config):
        return {}

    def features(self, task):
        return np.array([2.0 * task.context.get("better", 0) - 1.0])


class Run:
    """A learner with its runner, hand in hand."""

    def __init__(self, spec):
        self.spec, self.phase = spec, spec.phases[0]
        self.module, self.optimiser = start_population(spec)
        self.hyper = MemberHyper.of(spec.members)
        rows = make_rows(spec, self.phase.envs_per_member)
        self.player = Player(rows, noise_generators([m.seed for m in spec.members]), self.phase.envs_per_member)
        self.player.start(0)
        self.generator = torch.Generator().manual_seed(0)
        self.stats = []
        self.rollouts = []

    def iterate(self, iterations):
        for _ in range(iterations):
            rollout, _ = self.player.play(self.module, self.phase.length, self.spec.gamma)
            self.rollouts.append(rollout)
            batch = build_batch(self.module, rollout, self.spec.ppo)
            self.stats.append(fit(self.module, self.optimiser, batch, self.hyper, self.spec.ppo, self.generator))
        return self

    def recent(self, iterations=5):
        """Mean reward a step of each member over the last iterations, [P]."""
        return np.mean([rollout.rewards.mean(axis=(0, 2)) for rollout in self.rollouts[-iterations:]], axis=0)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The toy families, known by their ids in this process."""
    for family in (ToyFamily("corridor", CorridorEnv, CORRIDOR), ToyFamily("bandit", BanditEnv, PULLS)):
        monkeypatch.setitem(families._loaded, family.id, family)


@pytest.fixture
def corridor():
    return (Task("corridor-v1", {}, {"length": CORRIDOR}),)


@pytest.fixture
def bandits():
    return tuple(Task("bandit-v1", {}, {"better": better}) for better in (0, 1))


@pytest.fixture
def learner():
    """Makes learners of modules of a kind on tasks."""

    def make(tasks, module=None, seeds=(1,), envs=16, length=10, ppo=None, **member):
        observations, actions = families.family_of(tasks).spaces({})
        spec = module or ModuleSpec("gru", observations, actions, {"hidden": [16], "memory": 16})
        return LearnerSpec(
            spec,
            tuple(MemberSpec(seed, tasks, **{"lr": 5e-3, **member}) for seed in seeds),
            (Phase(10, envs, length),),
            ppo or PPOSettings(gamma=0.9),
        )

    return make


@pytest.fixture
def run():
    return Run
