"""Guided rollouts: who acts how often, and with which importance it is learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from roamrl.algorithms.population.acting import behaviour_generators, noise_generators
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.guidance import Guidance
from roamrl.algorithms.rllib.play import Player
from roamrl.algorithms.teaching import Fade, Teaching

ENVS = 16


def sure_of(action, spec):
    """A policy that nearly always takes one action."""
    bundle = to_bundle(build_module(spec, [action]), 0)
    bias = np.full(3, -8.0, np.float32)
    bias[action] = 8.0
    return replace(bundle, arrays={**bundle.arrays, "actor.head.bias": bias})


@pytest.fixture
def guided(toy_learner):
    """Makes a player whose members are guided by policies sure of the given actions."""

    def make(*shares, actions=(0,)):
        spec = toy_learner(seeds=tuple(range(3, 3 + len(shares))))
        teachers = tuple(sure_of(action, spec.module) for action in actions)
        members = tuple(
            replace(member, teaching=Teaching(teachers, guide=Fade(share, held=500)))
            for member, share in zip(spec.members, shares, strict=True)
        )
        spec = replace(spec, members=members)
        seeds = [member.seed for member in members]
        guidance = Guidance(Teachers.of(spec), behaviour_generators(seeds))
        player = Player(make_rows(spec, ENVS), noise_generators(seeds), ENVS, guidance)
        player.start(0)
        return player, build_module(spec.module, seeds), spec

    return make


def test_teachers_act_as_often_as_their_share(guided):
    player, module, _ = guided(0.0, 0.5, 1.0)
    rollout, _ = player.play(module, 200, 0.9)
    shares = (rollout.actions == 0).mean(axis=(0, 2))
    # a fresh policy takes each of three actions about as often
    assert shares == pytest.approx([1 / 3, 0.5 + 0.5 / 3, 1.0], abs=0.03)


def test_several_teachers_act_evenly(guided):
    player, module, _ = guided(1.0, actions=(0, 2))
    rollout, _ = player.play(module, 200, 0.9)
    assert [(rollout.actions == action).mean() for action in range(3)] == pytest.approx([0.5, 0.0, 0.5], abs=0.03)


def test_importance_is_own_probability_over_the_mixtures_that_acted(guided):
    player, module, spec = guided(0.25, 0.8, actions=(0, 2))
    rollout, _ = player.play(module, 30, 0.9)
    obs = torch.from_numpy(rollout.obs)
    for member, share in enumerate((0.25, 0.8)):
        rows = obs[:, member].reshape(1, -1, 3)
        with torch.no_grad():
            own = torch.softmax(module.logits(rows.expand(2, -1, -1)), dim=-1)[member]
            taught = [
                torch.softmax(from_bundles([teacher]).logits(rows), dim=-1)[0]
                for teacher in spec.members[member].teaching.teachers
            ]
        mixture = (1 - share) * own + share * sum(taught) / 2
        actions = torch.from_numpy(rollout.actions[:, member].reshape(-1, 1))
        expected = (own / mixture).gather(1, actions).clamp(max=1.0)[:, 0]
        np.testing.assert_allclose(rollout.importance[:, member].ravel(), expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.exp(rollout.logp[:, member].ravel()), own.gather(1, actions)[:, 0], rtol=1e-4)


def test_importance_makes_the_mixtures_actions_the_policys(guided):
    """E_mu[pi / mu f(a)] = E_pi[f(a)], for an f of those actions on which the bound of 1 does not bind."""
    player, module, _ = guided(0.5, actions=(0,))
    rollout, _ = player.play(module, 400, 0.9)
    weights = rollout.importance[:, 0]
    seldom = rollout.actions[:, 0] == 0  # here mu > pi, so the bound of 1 never binds
    with torch.no_grad():
        probability = torch.softmax(module.logits(torch.from_numpy(rollout.obs[:, 0].reshape(1, -1, 3))), dim=-1)
    assert (weights * seldom).mean() == pytest.approx(float(probability[..., 0].mean()), rel=0.05)


def test_when_the_share_has_faded_the_rollout_is_the_members_own(guided):
    player, module, _ = guided(0.9)
    assert player.play(module, 5, 0.9, steps=499)[0].importance is not None
    assert player.play(module, 5, 0.9, steps=500)[0].importance is None


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_a_guided_run_that_is_resumed_ends_as_one_that_was_not(local_ray, toy_learner, tmp_path):
    fresh = toy_learner(iterations=4)
    expert = sure_of(1, fresh.module)
    teaching = Teaching((expert,), guide=Fade(0.9, fading=72), imitate=Fade(1.0, after=24, fading=200))
    spec = replace(fresh, members=tuple(replace(member, teaching=teaching) for member in fresh.members))

    def algorithm() -> PopulationAlgorithm:
        return PopulationConfig().population(learner=spec).build_algo()

    whole = algorithm()
    for _ in range(2):
        whole.train()
    checkpoint = whole.save_to_path(tmp_path)
    for _ in range(2):
        whole.train()
    resumed = algorithm()
    resumed.restore_from_path(checkpoint)
    for _ in range(2):
        resumed.train()
    for one, other in zip(whole.member_states(), resumed.member_states(), strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)
    assert (whole.curve().losses["imitation"][0] > 0).all()
    whole.stop()
    resumed.stop()
