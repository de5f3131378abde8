"""Teachers: schedules, importance-corrected advantages, cross-entropies, and learning by imitation alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.batch import build_batch, generalised_advantages
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.envs.errors import InputError


def test_a_schedule_sets_in_is_held_and_fades():
    fade = Fade(0.8, 0.2, after=10, held=5, fading=30)
    assert [fade.at(steps) for steps in (0, 9, 10, 14, 15, 30, 45, 1000)] == pytest.approx(
        [0.0, 0.0, 0.8, 0.8, 0.8, 0.5, 0.2, 0.2]
    )
    assert [Fade(1.0, held=3).at(steps) for steps in (0, 2, 3)] == [1.0, 1.0, 0.0]
    assert Fade(0.7).at(0) == 0.0


@pytest.mark.parametrize("bad", [{"start": -0.1}, {"held": -1}, {"end": -1.0}])
def test_senseless_schedules_are_refused(bad):
    with pytest.raises(InputError, match="must not be negative"):
        Fade(**bad)


def test_importance_gives_v_traces_targets():
    """v_s - V(s) = sum_k (prod_j<k d_j c_j) rho_k delta_k with c = lambda rho, within an episode."""
    rng = np.random.default_rng(0)
    steps, cells, decay = 12, 5, 0.9
    rewards, values, following = rng.normal(size=(3, steps, cells))
    discounts, importance = rng.uniform(0.5, 1.0, (2, steps, cells))
    terminated, truncated = rng.random((2, steps, cells)) < 0.15
    advantages = generalised_advantages(rewards, values, following, discounts, terminated, truncated, decay, importance)
    delta = rewards + discounts * np.where(terminated, 0.0, following) - values
    for cell in range(cells):
        for start in range(steps):
            target, trace = 0.0, 1.0
            for step in range(start, steps):
                target += trace * importance[step, cell] * delta[step, cell]
                if terminated[step, cell] or truncated[step, cell]:
                    break
                trace *= discounts[step, cell] * decay * importance[step, cell]
            assert importance[start, cell] * advantages[start, cell] == pytest.approx(target)


def test_importance_one_is_generalised_advantage_estimation():
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(9, 4)) for _ in range(3)]
    flags = [rng.random((9, 4)) < 0.2 for _ in range(2)]
    given = (*arrays, np.full((9, 4), 0.9), *flags, 0.95)
    np.testing.assert_array_equal(generalised_advantages(*given), generalised_advantages(*given, np.ones((9, 4))))


def test_rows_that_the_policy_would_not_have_done_do_not_teach(learner):
    run = learner([MemberSpec(1)])
    rollout = run.rollout()
    importance = np.ones_like(rollout.rewards)
    importance[::2] = 0.0
    batch = build_batch(run.module, replace(rollout, importance=importance), PPOSettings())
    kept = batch.advantages[0].reshape(importance.shape[0], -1)
    assert (kept[::2] == 0).all()
    assert kept[1::2].mean().item() == pytest.approx(0.0, abs=1e-5)
    assert kept[1::2].std(correction=0).item() == pytest.approx(1.0, abs=1e-4)
    targets = (batch.returns - batch.values)[0].reshape(importance.shape[0], -1)
    assert (targets[::2] == 0).all(), "the critic's target is its own value where nothing is known"


def test_cross_entropies_are_those_of_torch(discrete, continuous):
    head = build_module(discrete, [1]).head
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 2, generator=generator)  # members, teachers, rows, actions
    own = torch.randn(2, 4, 2, generator=generator)
    target = head.imitation_target(logits)
    torch.testing.assert_close(target, torch.softmax(logits, dim=-1).mean(dim=1))
    expected = -(target * torch.log_softmax(own, dim=-1)).sum(dim=-1)
    torch.testing.assert_close(head.cross_entropy(target, own), expected)

    head = build_module(continuous, [1]).head
    logits, own = (0.5 * torch.randn(*shape, generator=generator) for shape in ((2, 3, 4, 4), (2, 4, 4)))
    teacher = torch.distributions.Normal(logits[..., :2], logits[..., 2:].exp())
    learner_policy = torch.distributions.Normal(own[..., :2], own[..., 2:].exp())
    each = [
        torch.distributions.kl_divergence(
            torch.distributions.Normal(teacher.loc[:, t], teacher.scale[:, t]), learner_policy
        )
        + torch.distributions.Normal(teacher.loc[:, t], teacher.scale[:, t]).entropy()
        for t in range(3)
    ]
    expected = torch.stack(each).mean(dim=0).sum(dim=-1)
    torch.testing.assert_close(head.cross_entropy(head.imitation_target(logits), own), expected)


@pytest.fixture
def expert(learner):
    return to_bundle(learner([MemberSpec(5, lr=3e-3)]).iterate(6).module, 0)


def agreement(module, expert, rows=400):
    obs = torch.as_tensor(np.random.default_rng(3).normal(2.0, 3.0, (1, rows, 3)), dtype=torch.float32)
    with torch.no_grad():
        theirs = torch.softmax(from_bundles([expert]).logits(obs), dim=-1)
        mine = torch.softmax(module.logits(obs.expand(module.members, -1, -1)), dim=-1)
    return 1.0 - 0.5 * (theirs - mine).abs().sum(dim=-1).mean(dim=1)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_smaller_student_becomes_its_teacher_by_imitation_alone(learner, discrete, expert, compiled):
    teaching = Teaching((expert,), imitate=Fade(1.0, held=10**9), reinforce_from=10**9)
    small = replace(discrete, model={"hidden": [8]})
    run = learner([MemberSpec(2, lr=1e-2, teaching=teaching)], small, PPOSettings(compiled=compiled))
    before = float(agreement(run.module, expert))
    run.iterate(10)
    assert before < 0.75
    assert float(agreement(run.module, expert)) > 0.93
    assert run.stats[-1]["imitation"] < run.stats[0]["imitation"]


def test_teaching_without_weight_changes_nothing(learner, expert):
    idle = Teaching((expert,))
    taught = learner([MemberSpec(2, teaching=idle)]).iterate(3)
    alone = learner([MemberSpec(2)]).iterate(3)
    torch.testing.assert_close(taught.module.weights.detach(), alone.module.weights.detach(), rtol=0, atol=1e-5)


def test_members_have_teachers_and_schedules_of_their_own(learner, expert):
    other = to_bundle(learner([MemberSpec(9)]).module, 0)
    members = [
        MemberSpec(2, teaching=Teaching((expert,), imitate=Fade(1.0, held=500), reinforce_from=300)),
        MemberSpec(3, teaching=Teaching((other,), imitate=Fade(0.5, fading=900))),
    ]
    together = learner(members).iterate(4)
    for number, member in enumerate(members):
        alone = learner([member]).iterate(4)
        torch.testing.assert_close(
            together.module.weights[number].detach(), alone.module.weights[0].detach(), rtol=1e-4, atol=1e-5
        )


def test_what_cannot_teach_is_refused(discrete, expert):
    with pytest.raises(InputError, match="at least one teacher"):
        Teaching(())
    with pytest.raises(InputError, match=r"within 0\.\.1"):
        Teaching((expert,), guide=Fade(1.5))
    one, two = Teaching((expert,)), Teaching((expert, expert))
    with pytest.raises(InputError, match="equally many teachers"):
        Teachers([one, two])
    phases = (Phase(1, 2, 3),)
    with pytest.raises(InputError, match="1 of 2 members have teachers"):
        Teachers.of(LearnerSpec(discrete, (MemberSpec(1, teaching=one), MemberSpec(2)), phases))
    other = replace(discrete, action_space=spaces.Discrete(3))
    with pytest.raises(InputError, match="must be the same"):
        Teachers.of(LearnerSpec(other, (MemberSpec(1, teaching=one),), phases))
