"""The loss against its formula, blocks against the whole, freezing and starting from experts."""

import dataclasses

import numpy as np
import pytest
import torch

from roamrl.algorithms.learner_spec import MemberSpec, PPOSettings
from roamrl.algorithms.population import fit as fit_module
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.losses import LossWeights, Minibatch, ppo_loss
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs.errors import InputError


def minibatch(module, rows=64):
    generator = torch.Generator().manual_seed(2)
    members = module.members
    prepared = torch.randn(members, rows, 3, generator=generator)
    with torch.no_grad():
        logits, _ = module.evaluate(prepared, module.weights)
        actions = torch.randint(2, (members, rows), generator=generator)
        logp = module.head.log_prob(logits, actions) + 0.3 * torch.randn(members, rows, generator=generator)
    advantages, targets = torch.randn(2, members, rows, generator=generator)
    return Minibatch(prepared, actions, logp, advantages, targets)


def test_the_loss_and_its_gradient_are_the_papers_formula(discrete):
    module = build_module(discrete, [1, 2])
    batch = minibatch(module)
    clip, bonus = torch.tensor([0.1, 0.3]), torch.tensor([0.0, 0.05])
    by = LossWeights(clip, bonus, torch.ones(2), torch.zeros(2))
    loss, parts = ppo_loss(module, module.weights, batch, by, PPOSettings(value_coeff=0.7))
    logits, values = module.evaluate(batch.prepared, module.weights)
    policy = torch.distributions.Categorical(logits=logits)
    ratio = (policy.log_prob(batch.actions) - batch.logp).exp()
    for member in range(2):
        own, gain, c = ratio[member], batch.advantages[member], float(clip[member])
        surrogate = torch.min(own * gain, own.clamp(1 - c, 1 + c) * gain).mean()
        error = (values[member] - batch.targets[member]).square().mean()
        entropy = policy.entropy()[member].mean()
        expected = -surrogate + 0.7 * error - bonus[member] * entropy
        torch.testing.assert_close(loss[member], expected)
        torch.testing.assert_close(parts["policy_loss"][member], -surrogate)
        torch.testing.assert_close(parts["value_loss"][member], error)
        torch.testing.assert_close(parts["entropy"][member], entropy)
        assert parts["kl"][member].item() == pytest.approx((own - 1 - own.log()).mean().item(), abs=1e-6)
        assert parts["clip_fraction"][member].item() == pytest.approx(((own - 1).abs() > c).float().mean().item())
        assert 0.1 < parts["clip_fraction"][member] < 0.9
        (mine,) = torch.autograd.grad(loss[member], module.weights, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected, module.weights, retain_graph=True)
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("block_rows", [7, 60, 100, 1000])
def test_blocks_give_the_gradient_of_the_whole(learner, monkeypatch, block_rows):
    results = []
    for rows in (block_rows, 1 << 20):
        monkeypatch.setattr(fit_module, "BLOCK_ROWS", rows)
        run = learner([MemberSpec(seed, lr=1e-3) for seed in range(5)]).iterate(2)
        results.append((run.module.weights.detach(), run.stats[-1]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=1e-5)
    for name, value in results[0][1].items():
        np.testing.assert_allclose(value, results[1][1][name], rtol=2e-3, atol=1e-5, err_msg=name)


def test_a_batch_smaller_than_its_minibatches_is_learned_from(learner):
    run = learner([MemberSpec(1)], ppo=PPOSettings(minibatches=1000, epochs=2))
    run.iterate(1)
    assert run.optimiser.updates.tolist() == [480.0]


def test_networks_learn_under_the_normalisation_they_acted_with(learner):
    run = learner([MemberSpec(1)], ppo=PPOSettings(epochs=1, minibatches=1))
    run.iterate(3)
    assert [stats["kl"][0] for stats in run.stats] == pytest.approx([0.0] * 3, abs=1e-6)
    assert run.module.observations.count.tolist() == [720.0]
    assert run.module.observations.mean[0].numpy() == pytest.approx([2.0] * 3, abs=0.5)


def test_values_are_learned_in_return_units_only_if_asked(learner):
    plain = learner([MemberSpec(1)], ppo=PPOSettings(normalise_values=False)).iterate(2)
    assert plain.module.returns.count.tolist() == [0.0]
    standardised = learner([MemberSpec(1)]).iterate(2)
    assert standardised.module.returns.count.tolist() == [480.0]


@pytest.fixture
def expert(learner, discrete):
    run = learner([MemberSpec(5, lr=3e-3)]).iterate(4)
    return to_bundle(run.module, 0)


@pytest.mark.parametrize("layers", ["all", "trunk"])
def test_a_learner_starts_as_the_expert_and_holds_what_it_took(learner, expert, layers):
    members = [
        MemberSpec(1, initial=expert, layers=layers, frozen_steps=300),
        MemberSpec(1, initial=expert, layers=layers),
        MemberSpec(1),
    ]
    run = learner(members)
    fresh = learner([MemberSpec(1)]).module.member_state(0)
    taken = run.module.trunk_names() if layers == "trunk" else tuple(fresh)
    for member in (0, 1):
        state = run.module.member_state(member)
        for name, array in state.items():
            np.testing.assert_array_equal(array, (expert.arrays if name in taken else fresh)[name], err_msg=name)
    assert np.array_equal(run.module.member_state(2)["actor.0.weight"], fresh["actor.0.weight"])

    def changed(member):
        state = run.module.member_state(member)
        return {name for name in taken if not np.array_equal(state[name], expert.arrays[name])}

    run.iterate(2)  # 480 of 300 frozen steps, counted at the end of each iteration of 240
    assert changed(0) == set()
    assert changed(1) == set(taken)
    head = run.module.member_state(0)["actor.head.weight"]
    assert np.array_equal(head, expert.arrays["actor.head.weight"]) == (layers == "all")
    run.iterate(1)
    assert changed(0) == set(taken)


def test_an_initial_policy_of_another_kind_or_shape_is_refused(learner, expert):
    other = dataclasses.replace(expert, spec=dataclasses.replace(expert.spec, kind="gru"))
    with pytest.raises(InputError, match="of kind 'gru'"):
        learner([MemberSpec(1, initial=other)])
    arrays = {**expert.arrays, "actor.0.weight": np.zeros((4, 16), np.float32)}
    with pytest.raises(InputError, match=r"actor.0.weight.*float32 \(4, 16\)"):
        learner([MemberSpec(1, initial=dataclasses.replace(expert, arrays=arrays))])


def test_finished_policies_act_side_by_side(learner, expert):
    module = learner([MemberSpec(seed) for seed in range(3)]).module
    bundles = [to_bundle(module, 0), expert]
    obs = np.random.default_rng(0).normal(2.0, 3.0, (2, 200, 3)).astype(np.float32)
    policy = StackedPolicy(bundles)
    actions = policy.act(obs)
    for member, bundle in enumerate(bundles):
        np.testing.assert_array_equal(actions[member], StackedPolicy([bundle]).act(obs[member : member + 1])[0])
    assert (actions[1] == (obs[1, :, 0] > 2.0)).mean() > 0.8
    drawn = [policy.act(obs, greedy=False, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    with pytest.raises(InputError, match="give rng"):
        policy.act(obs, greedy=False)
    with pytest.raises(InputError, match="expected observations"):
        policy.act(obs[:1])


def test_building_a_batch_changes_nothing(learner):
    run = learner([MemberSpec(1), MemberSpec(2)]).iterate(1)
    before = [run.module.member_state(member) for member in range(2)]
    rollout = run.rollout()
    first, second = (build_batch(run.module, rollout, PPOSettings()) for _ in range(2))
    assert torch.equal(first.advantages, second.advantages)
    for member, state in enumerate(before):
        assert all(np.array_equal(array, state[name]) for name, array in run.module.member_state(member).items())
