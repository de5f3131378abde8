import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.envs import family as families
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.family import Family
from roamrl.envs.task import Task

OBSERVATIONS = spaces.Box(-10.0, 10.0, (3,), np.float32)
ACTIONS = spaces.Discrete(3)
TARGET = "target"
EPISODE_STEPS = 8


class ToyEnv(BatchedEnv):
    """A number that actions push; a wave known from (seed, episode, index) pulls. Episodes last 8 steps."""

    def __init__(self, placement, mode):
        self._t = np.zeros(len(placement), np.int64)
        self._x = np.zeros(len(placement))
        super().__init__(placement, OBSERVATIONS, ACTIONS, mode)

    def _compile(self, tasks):
        self._targets = np.array([task.context[TARGET] for task in tasks])

    def _phase(self):
        return self._seeds * 1.3 + self._indices * 0.7 + self._episodes * 0.31 + self._t * 0.9

    def _begin(self, rows):
        self._t[rows] = 0
        self._x[rows] = np.sin(self._phase()[rows])

    def _advance(self, actions, active):
        self._t += 1
        self._x += 0.5 * (actions - 1) + 0.3 * np.sin(self._phase())
        distance = np.abs(self._x - self._targets[self._task_rows])
        self._rewards[:] = -distance
        self._terminated[:] = np.abs(self._x) > 4.0
        self._truncated[:] = (self._t >= EPISODE_STEPS) & ~self._terminated
        self._measures = {"distance": distance}

    def _observe(self, rows):
        self._obs[rows] = np.stack([self._x, np.sin(self._phase()), self._t / EPISODE_STEPS], axis=1)[rows]

    def _arrays(self):
        return {"t": self._t, "x": self._x}


class ToyFamily(Family):
    name, version, about, measures = "toy", 1, "a number to hold", ("distance",)

    def config(self, overrides=None):
        return {}

    def context_space(self, config):
        raise LookupError("the toy has no context table")

    def spaces(self, config):
        return OBSERVATIONS, ACTIONS

    def episode_steps(self, config):
        return EPISODE_STEPS

    def make_placed(self, placement, autoreset_mode="SameStep"):
        return ToyEnv(placement, autoreset_mode)

    def references(self, config):
        return {}

    def splits(self, config):
        return {}

    def features(self, task):
        return np.array([task.context[TARGET]])


def toy_task(target=0.0):
    return Task("toy-v1", {}, {TARGET: target})


@pytest.fixture
def toy(monkeypatch):
    """The toy family, known by its id in this process."""
    family = ToyFamily()
    monkeypatch.setitem(families._loaded, family.id, family)
    return family


@pytest.fixture
def toy_learner(toy):
    """Makes learners on the toy family."""

    def make(seeds=(3, 4), iterations=4, length=6, envs=4, whole_episodes=False, snapshots=(), **member):
        return LearnerSpec(
            ModuleSpec("mlp", OBSERVATIONS, ACTIONS, {"hidden": [16, 16]}),
            tuple(MemberSpec(seed, (toy_task(0.5 * seed), toy_task(-1.0)), **member) for seed in seeds),
            (Phase(iterations, envs, length, whole_episodes),),
            PPOSettings(epochs=2, minibatches=2),
            snapshots,
        )

    return make


@pytest.fixture
def cartpole_learner():
    """Makes learners on CartPole-v1."""

    def make(seeds=(1,), iterations=40, envs=16, length=128, snapshots=(), **ppo):
        settings = {"gamma": 0.99, "epochs": 6, "minibatches": 8, **ppo}
        space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        return LearnerSpec(
            ModuleSpec("mlp", space, spaces.Discrete(2)),
            tuple(MemberSpec(seed, lr=1e-3, entropy_coeff=0.0) for seed in seeds),
            (Phase(iterations, envs, length),),
            PPOSettings(**settings),
            snapshots,
        )

    return make
