"""Q-learning as an RLlib algorithm: it learns CartPole, resumes bit for bit, and explores as it is told."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.acting import behaviour_generators, noise_generators
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.exploration import EpsilonGreedy
from roamrl.algorithms.rllib.learner_folder import read_learner, write_learner
from roamrl.algorithms.rllib.play import Player
from roamrl.algorithms.teaching import Fade

SETTINGS = DQNSettings(learning_starts=20, batch_rows=16, buffer_rows=60, epsilon=Fade(1.0, 0.1, fading=90))


@pytest.fixture
def dqn(toy_learner):
    """Makes learners of action values on the toy family."""

    def make(**changes):
        ppo = toy_learner(**changes)
        return replace(ppo, module=replace(ppo.module, kind="q"), algorithm="dqn", dqn=SETTINGS)

    return make


def test_epsilon_is_how_often_actions_are_drawn_evenly(dqn):
    spec = dqn()
    seeds = [member.seed for member in spec.members]
    behaviour = EpsilonGreedy(Fade(0.6, 0.0, fading=100), behaviour_generators(seeds))
    player, module = (
        Player(make_rows(spec, 16), noise_generators(seeds), 16, behaviour),
        build_module(spec.module, seeds),
    )
    player.start(0)
    for steps, epsilon in ((0, 0.6), (50, 0.3), (100, 0.0)):
        rollout, _ = player.play(module, 150, 0.9, steps)
        for member in range(2):
            obs = rollout.obs[:, member].reshape(1, -1, 3)
            best = module.head.greedy(module.logits(_both(obs))).numpy()[member].reshape(150, 16)
            agreed = (rollout.actions[:, member] == best).mean()
            assert agreed == pytest.approx(1 - epsilon * 2 / 3, abs=0.03)


def _both(obs):
    import torch

    return torch.from_numpy(obs).expand(2, -1, -1)


def test_a_learner_of_action_values_comes_back_from_its_folder(tmp_path, dqn):
    spec = dqn()
    write_learner(tmp_path, spec)
    back = read_learner(tmp_path)
    assert (back.algorithm, back.dqn, back.module.kind) == ("dqn", SETTINGS, "q")


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_a_resumed_run_ends_as_one_that_was_not(local_ray, dqn, tmp_path):
    spec = dqn(iterations=6)

    def algorithm() -> PopulationAlgorithm:
        return PopulationConfig().population(learner=spec).build_algo()

    whole = algorithm()
    for _ in range(3):
        whole.train()
    checkpoint = whole.save_to_path(tmp_path)
    for _ in range(3):
        whole.train()
    resumed = algorithm()
    resumed.restore_from_path(checkpoint)
    for _ in range(3):
        resumed.train()
    assert np.isfinite(whole.curve().losses["td_error"][-1]).all()
    for one, other in zip(whole.member_states(), resumed.member_states(), strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)
    whole.stop()
    resumed.stop()


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_cartpole_is_learned(local_ray):
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    settings = DQNSettings(
        gamma=0.99,
        n_step=3,
        buffer_rows=20_000,
        batch_rows=128,
        replay_ratio=16.0,
        learning_starts=500,
        target_every=100,
        epsilon=Fade(1.0, 0.04, fading=6_000),
    )
    spec = LearnerSpec(
        ModuleSpec("q", space, spaces.Discrete(2)),
        (MemberSpec(1, lr=1e-3, max_grad_norm=10.0),),
        (Phase(64, 8, 64),),
        algorithm="dqn",
        dqn=settings,
    )
    algorithm = PopulationConfig().population(learner=spec).environment("CartPole-v1").build_algo()
    while not algorithm.train()["done"]:
        pass
    returns = algorithm.curve().return_mean[:, 0]
    algorithm.stop()
    assert np.nanmean(returns[:8]) < 60
    assert np.nanmean(returns[-8:]) > 150
