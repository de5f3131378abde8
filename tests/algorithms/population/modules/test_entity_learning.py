"""Policies on sets of entities in the engine: what they can learn, members that stay apart, the compiled gradient."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.learner_spec import MemberSpec, PPOSettings
from roamrl.algorithms.population import compiled
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.build import to_bundle
from roamrl.algorithms.population.modules.entity import with_entities
from roamrl.algorithms.teaching import Fade, Teaching

MEMBERS = (
    MemberSpec(3, lr=1e-3, clip=0.2, entropy_coeff=0.0, max_grad_norm=0.5),
    MemberSpec(11, lr=3e-3, clip=0.1, entropy_coeff=0.02, max_grad_norm=0.1),
    MemberSpec(3, lr=3e-4, clip=0.3, entropy_coeff=0.005, max_grad_norm=10.0),
)
INTERACTIONS = ["none", "deepsets", "attention"]


@pytest.mark.parametrize(
    ("interaction", "compared", "iterations", "least", "most"),
    [
        ("none", False, 12, 0.9, 1.0),
        ("none", True, 12, 0.4, 0.65),  # no entity can know what the others have
        ("deepsets", True, 18, 0.8, 1.0),
        ("attention", True, 24, 0.8, 1.0),
    ],
)
def test_entities_learn_what_they_can_see(crowd, interaction, compared, iterations, least, most):
    run = crowd([MemberSpec(1, lr=1e-2, entropy_coeff=0.0)], interaction, entities=4, compared=compared)
    run.iterate(iterations)
    assert run.rewards[0][0] < 0.6
    assert least < np.mean(run.rewards[-3:]) <= most


def test_what_few_have_learned_serves_many(crowd):
    run = crowd([MemberSpec(1, lr=1e-2, entropy_coeff=0.0)], "none", entities=4).iterate(12)
    policy = StackedPolicy([with_entities(to_bundle(run.module, 0), 40)])
    obs = np.zeros((1, 200, 40, 5), np.float32)
    obs[..., 0] = 1.0
    obs[..., 1:] = np.random.default_rng(0).normal(size=(1, 200, 40, 4))
    assert ((policy.act(obs) == 1) == (obs[..., 1] > 0.0)).mean() > 0.9


@pytest.mark.parametrize("actions", [None, spaces.Discrete(3)], ids=["each", "cell"])
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_members_together_are_members_alone(learner, draw_cells, make_entities, entity_spec, interaction, actions):
    spec = entity_spec(8, actions, interaction=interaction)
    seeds = [3, 11, 5]
    together = make_entities(spec, seeds)
    obs = draw_cells(3, 40, 8, most=6)
    obs[1] *= torch.arange(8)[:, None] < 3  # what is cropped differs between the members
    together.observe(obs)
    logits, values = together(obs)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    loss = (logits.clamp(min=-50.0).sum(dim=-1) * weights + values).sum()
    (gradients,) = torch.autograd.grad(loss, together.weights)
    for member, seed in enumerate(seeds):
        alone, own = make_entities(spec, [seed]), slice(member, member + 1)
        alone.observe(obs[own])
        for found, expected in zip(alone(obs[own]), (logits[own], values[own]), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        logit, value = alone(obs[own])
        loss = (logit.clamp(min=-50.0).sum(dim=-1) * weights[own] + value).sum()
        (gradient,) = torch.autograd.grad(loss, alone.weights)
        torch.testing.assert_close(gradient, gradients[own], rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_members_learning_together_are_members_learning_alone(crowd, interaction):
    together = crowd(MEMBERS, interaction).iterate(3)
    for number, member in enumerate(MEMBERS):
        alone = crowd([member], interaction).iterate(3)
        expected = alone.module.member_state(0)
        for name, array in together.module.member_state(number).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-5, err_msg=name)
    moved = [np.abs(array - expected[name]).max() for name, array in together.module.member_state(0).items()]
    assert max(moved) > 1e-2


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_a_members_nan_leaves_the_others_bitwise_alone(crowd, interaction):
    def spoil(iteration, rollout):
        if iteration == 1:
            rollout.rewards[4, 1, 2] = np.nan

    clean, spoiled, broken = (crowd(MEMBERS, interaction) for _ in range(3))
    with torch.no_grad():
        broken.module.weights[1, 5] = torch.nan
    clean.iterate(2), spoiled.iterate(2, spoil), broken.iterate(2)
    for other in (spoiled, broken):
        for member in (0, 2):
            expected = clean.module.member_state(member)
            for name, array in other.module.member_state(member).items():
                np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert [stats["skipped"].tolist() for stats in spoiled.stats] == [[0, 0, 0], [0, 16, 0]]
    assert [stats["skipped"].tolist() for stats in broken.stats] == [[0, 16, 0]] * 2


def test_entities_that_see_themselves_alone_imitate_one_that_does(crowd, make_entities, entity_spec):
    teacher = make_entities(entity_spec(6, hidden=[8]), [4])
    with torch.no_grad():
        teacher.layout.views(teacher.weights)["actor.head.weight"].mul_(20.0)
    expert = to_bundle(teacher, 0)
    teaching = Teaching((expert,), imitate=Fade(1.0, held=10**9), reinforce_from=10**9)
    run = crowd([MemberSpec(2, lr=1e-2, teaching=teaching)], "none")
    obs = torch.from_numpy(run.world.obs)
    head = run.module.head

    def divergence():
        with torch.no_grad():
            target = head.imitation_target(teacher.logits(obs)[:, None])
            return float(
                (head.cross_entropy(target, run.module.logits(obs)) - head.entropy(teacher.logits(obs))).mean()
            )

    before = divergence()
    run.iterate(10)
    assert before > 0.3
    assert 0.0 <= divergence() < 0.2 * before
    assert run.stats[-1]["imitation"] < run.stats[0]["imitation"]


def assert_same_learning(crowd, members, interaction, **model):
    plain, fast = (
        crowd(members, interaction, ppo=PPOSettings(compiled=fast), **model).iterate(2) for fast in (False, True)
    )
    weights = [run.module.weights.detach() for run in (fast, plain)]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
    for name, value in plain.stats[-1].items():
        np.testing.assert_allclose(fast.stats[-1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("interaction", "shared"), [("none", True), ("deepsets", False), ("attention", False)])
def test_the_traced_gradient_is_the_plain_one(crowd, monkeypatch, interaction, shared):
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    assert_same_learning(crowd, MEMBERS, interaction, shared_trunk=shared)


@pytest.mark.slow
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_machine_code_learns_as_the_plain_path(crowd, interaction):
    assert_same_learning(crowd, MEMBERS, interaction)
