"""Action values: experts beside the own network, successor features, replay, and learning of known values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.action_values import with_experts
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.q_learning import QLearning
from roamrl.algorithms.population.replay import Replay
from roamrl.algorithms.population.transitions import Transitions
from roamrl.envs.errors import InputError

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (5,), np.float32)
PLAIN = ModuleSpec("q", OBSERVATIONS, spaces.Discrete(3), {"hidden": [16]})
PARTS = replace(PLAIN, model={"hidden": [16], "reward_weights": [3, 5]})


def seen_by(module, rng, rows=50):
    """Give a module observation statistics of its own and return observations."""
    obs = torch.as_tensor(rng.normal(1.0, 2.0, (module.members, rows, 5)), dtype=torch.float32)
    module.observe(obs)
    return obs


@pytest.mark.parametrize("spec", [PLAIN, PARTS])
def test_a_module_acts_by_the_best_of_its_own_and_its_experts_values(spec):
    rng = np.random.default_rng(0)
    experts = build_module(spec, [1, 2])
    with torch.no_grad():
        experts.weights.mul_(3.0)
    obs = seen_by(experts, rng)[:1]
    bundles = [to_bundle(experts, number) for number in range(2)]
    roomy = replace(spec, model={**spec.model, "experts": 2})
    fresh = build_module(roomy, [7])
    joined = from_bundles([with_experts(to_bundle(fresh, 0), bundles)])
    seen_by(joined, rng)  # its own statistics must not change what the experts say
    own = from_bundles([replace(to_bundle(joined, 0), spec=spec, arrays=_own(to_bundle(joined, 0).arrays))])
    values = torch.stack([from_bundles([bundle]).logits(obs)[0] for bundle in bundles] + [own.logits(obs)[0]])
    torch.testing.assert_close(joined.logits(obs)[0], values.amax(dim=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        StackedPolicy([to_bundle(joined, 0)]).act(obs.numpy())[0], values.amax(dim=0).argmax(dim=-1).numpy()
    )


def _own(arrays):
    return {name: array for name, array in arrays.items() if not name.startswith("expert")}


def test_successor_features_are_weighed_by_what_the_observation_says_and_blind_to_it():
    module = build_module(PARTS, [1])
    obs = seen_by(module, np.random.default_rng(1))
    prepared = module.prepare(obs)
    parts = module.own_parts(prepared, module.weights)
    expected = torch.einsum("pakn,pnk->pna", parts, obs[..., 3:5])
    torch.testing.assert_close(module.logits(obs), expected)
    other = obs.clone()
    other[..., 3:5] = torch.tensor([9.0, -4.0])
    torch.testing.assert_close(module.own_parts(module.prepare(other), module.weights), parts)


def test_experts_get_no_gradient_and_fit_only_their_own_shape():
    roomy = replace(PLAIN, model={"hidden": [16], "experts": 1})
    fresh = to_bundle(build_module(roomy, [7]), 0)
    expert = to_bundle(build_module(PLAIN, [1]), 0)
    module = from_bundles([with_experts(fresh, [expert])])
    weights = module.weights.detach().requires_grad_()
    module.own_parts(module.prepare(torch.randn(1, 9, 5)), weights).square().sum().backward()
    gradient = module.layout.views(weights.grad)
    assert all((value == 0).all() == name.startswith("expert") for name, value in gradient.items())
    wide = to_bundle(build_module(replace(PLAIN, model={"hidden": [32]}), [1]), 0)
    with pytest.raises(InputError, match="share their hidden layers"):
        with_experts(fresh, [wide])
    with pytest.raises(InputError, match="2 experts for a module with room for 1"):
        with_experts(fresh, [expert, expert])


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ({"reward_weights": [3, 9]}, "outside an observation of 5"),
        ({"reward_weights": [3]}, r"\(start, stop\)"),
        ({"experts": -1}, "0 to 64"),
        ({"expert": 1}, "did you mean 'experts'"),
        ({"hidden": []}, "1 to 8 hidden layers"),
    ],
)
def test_senseless_models_are_refused(model, match):
    with pytest.raises(InputError, match=match):
        build_module(replace(PLAIN, model=model), [1])


def test_continuous_actions_are_refused():
    with pytest.raises(InputError, match="discrete actions"):
        build_module(replace(PLAIN, action_space=spaces.Box(-1.0, 1.0, (2,))), [1])


def test_algorithm_settings_and_module_kind_go_together():
    phases = (Phase(1, 2, 3),)
    with pytest.raises(InputError, match="'dqn' goes with"):
        LearnerSpec(PLAIN, (MemberSpec(1),), phases)
    with pytest.raises(InputError, match="'dqn' goes with"):
        LearnerSpec(PLAIN, (MemberSpec(1),), phases, algorithm="dqn")
    assert LearnerSpec(PLAIN, (MemberSpec(1),), phases, algorithm="dqn", dqn=DQNSettings(gamma=0.5)).gamma == 0.5


def transitions(rng, members=2, rows=40, parts=1):
    return Transitions(
        rng.normal(size=(members, rows, 5)).astype(np.float32),
        rng.integers(0, 3, (members, rows)),
        rng.normal(size=(members, rows, parts)).astype(np.float32),
        np.full((members, rows), 0.5, np.float32),
        rng.normal(size=(members, rows, 5)).astype(np.float32),
    )


def test_a_replay_keeps_the_last_and_draws_alike_for_all_members():
    rng, replay = np.random.default_rng(2), Replay(100)
    with pytest.raises(InputError, match="nothing to replay"):
        replay.draw(3, torch.Generator())
    made = [transitions(rng) for _ in range(4)]
    for one in made:
        replay.add(one)
    assert replay.filled == 100
    drawn = replay.draw(2000, torch.Generator().manual_seed(0))
    kept = np.concatenate([one.obs for one in made], axis=1)[:, -100:]
    for member in range(2):
        found = {tuple(row) for row in drawn["obs"][member].numpy().round(5)}
        assert found == {tuple(row) for row in kept[member].round(5)}
    place = [np.flatnonzero((kept[0] == row).all(axis=1))[0] for row in drawn["obs"][0].numpy()]
    np.testing.assert_array_equal(drawn["obs"][1].numpy(), kept[1][place])
    other = Replay(100)
    other.restore(replay.state())
    for both in (replay, other):
        both.add(transitions(np.random.default_rng(9), rows=7))
    again = [both.draw(50, torch.Generator().manual_seed(1)) for both in (replay, other)]
    for name in again[0]:
        assert torch.equal(again[0][name], again[1][name])


def test_more_than_a_replay_holds_leaves_the_last():
    replay, made = Replay(10), transitions(np.random.default_rng(3), rows=25)
    replay.add(made)
    drawn = replay.draw(500, torch.Generator().manual_seed(0))["obs"][0].numpy()
    assert {tuple(row) for row in drawn} == {tuple(row) for row in made.obs[0, -10:]}


def learning_of(spec, settings, members=2, lr=3e-3):
    module = build_module(spec, list(range(members)))
    optimiser = StackedAdam(module.weights)
    hyper = MemberHyper.of([MemberSpec(seed, lr=lr) for seed in range(members)])
    return module, QLearning(module, optimiser, settings), hyper


@pytest.mark.parametrize("spec", [PLAIN, PARTS])
def test_values_of_a_bandit_are_learned(spec):
    """Rewards depend on the action and the first number seen; nothing follows: Q = (1 - gamma) r, part by part."""
    settings = DQNSettings(gamma=0.5, learning_starts=0, batch_rows=64, replay_ratio=64.0)
    module, learning, hyper = learning_of(spec, settings)
    rng, replay = np.random.default_rng(4), Replay(2000)
    fill = transitions(rng, rows=1500, parts=module.parts)
    sign = np.sign(fill.obs[..., 0])
    truth = np.stack([(fill.actions - 1) * sign * (part + 1) for part in range(module.parts)], axis=-1)
    replay.add(replace(fill, rewards=truth.astype(np.float32), discounts=np.zeros_like(fill.discounts)))
    stats = learning.learn(replay, 1500, hyper, torch.Generator().manual_seed(0))
    assert stats["skipped"].tolist() == [0, 0]
    obs = torch.zeros(2, 2, 5)
    obs[:, 0, 0], obs[:, 1, 0] = 1.5, -1.5
    obs[..., 3:5] = torch.tensor([0.25, 0.75])
    weight = 1.0 if spec is PLAIN else 0.25 * 1 + 0.75 * 2
    expected = torch.tensor([[-0.5, 0.0, 0.5], [0.5, 0.0, -0.5]]) * weight
    torch.testing.assert_close(module.logits(obs), expected.expand(2, 2, 3), rtol=0, atol=0.12 * weight)


def test_the_target_network_lags_and_the_best_action_is_the_online_networks():
    settings = DQNSettings(gamma=0.5, learning_starts=0, batch_rows=8, target_every=3, replay_ratio=1.0)
    module, learning, hyper = learning_of(PLAIN, settings, members=1)
    before = learning.target.clone()
    replay = Replay(100)
    replay.add(transitions(np.random.default_rng(5), members=1, rows=16))
    learning.learn(replay, 16, hyper, torch.Generator().manual_seed(0))
    assert learning.updates == 2
    assert torch.equal(learning.target, before)
    rows = replay.draw(8, torch.Generator().manual_seed(3))
    following = module.prepare(rows["next_obs"])
    best = module.own_parts(following, module.weights)[:, :, 0].argmax(dim=1)
    valued = module.own_parts(following, before)[:, :, 0].gather(1, best[:, None])[:, 0]
    expected = 0.5 * rows["rewards"][..., 0] + 0.5 * valued
    torch.testing.assert_close(learning._targets(rows)[:, 0], expected)
    replay.add(transitions(np.random.default_rng(6), members=1, rows=8))
    learning.learn(replay, 8, hyper, torch.Generator().manual_seed(1))
    assert torch.equal(learning.target, module.weights.detach())


def test_members_learn_as_they_would_alone_whatever_their_neighbours_suffer():
    settings = DQNSettings(gamma=0.5, learning_starts=0, batch_rows=32, replay_ratio=8.0)
    made = transitions(np.random.default_rng(7), members=2, rows=64)
    spoiled = replace(made, rewards=np.where(np.arange(2)[:, None, None] == 1, np.nan, made.rewards))
    results = []
    for given in (made, spoiled):
        module, learning, hyper = learning_of(PLAIN, settings)
        replay = Replay(100)
        replay.add(given)
        stats = learning.learn(replay, 64, hyper, torch.Generator().manual_seed(0))
        results.append((module.weights.detach(), stats))
    assert torch.equal(results[0][0][0], results[1][0][0])
    assert results[1][1]["skipped"].tolist() == [0, 16]
    module, learning, hyper = learning_of(PLAIN, settings, members=1)
    replay = Replay(100)
    replay.add(Transitions(*(array[:1] for array in vars(made).values())))
    learning.learn(replay, 64, hyper, torch.Generator().manual_seed(0))
    torch.testing.assert_close(results[0][0][0], module.weights.detach()[0], rtol=1e-4, atol=1e-5)
