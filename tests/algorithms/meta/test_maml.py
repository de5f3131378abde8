"""MAML on a population: who learns from what, independence of members, resuming."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.meta_learning import MAMLSettings
from roamrl.algorithms.population.inner_loop import InnerLoss
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.inner_rates import KIND, LOG_FACTORS
from roamrl.algorithms.population.task_members import drawn_tasks, task_members, task_seeds

BOX = spaces.Box(-1.0, 1.0, (1,), np.float32)
TWO = MAMLSettings(tasks=2, inner_lr=0.3)
EAGER = {"lr": 3e-3, "entropy_coeff": 0.0}


def state(run, member):
    return run.outer.member_state(member)


def assert_members_equal(one, member, other, own, **how):
    expected = state(other, own)
    for name, array in state(one, member).items():
        np.testing.assert_allclose(array, expected[name], err_msg=name, **how)


def test_adapting_learns_what_no_single_policy_can(meta_run, specification):
    """Tasks ask for opposite actions: before adapting a policy earns 0 on average, after it at most .75."""
    settings = MAMLSettings(tasks=4, inner_lr=1.0)
    ppo = PPOSettings(epochs=4, minibatches=1, gamma=0.5)
    run = meta_run(specification(settings, ppo=ppo, iterations=100, cells=32, **EAGER)).iterate(100)
    rewards = np.array(run.rewards).mean(axis=2)
    before, after = rewards[0::2], rewards[1::2]
    assert (np.abs(before[-5:].mean(axis=0)) < 0.15).all()
    assert (after[:5].mean(axis=0) < 0.25).all()
    assert (after[-5:].mean(axis=0) > 0.4).all()


@pytest.mark.parametrize("kind", ["mlp", KIND])
def test_task_members_adapt_by_the_inner_rule(meta_run, specification, kind):
    run = meta_run(specification(TWO, kind=kind))
    start = run.played.weights.detach().clone()
    torch.testing.assert_close(start, run.outer.weights.detach().repeat_interleave(2, dim=0), rtol=0, atol=0)
    run.iterate(1)
    weights = start.clone().requires_grad_()
    terms = InnerLoss.of(run.played)(weights, run.learning.adapt_on[0])
    (slope,) = torch.autograd.grad(terms.loss.sum(), weights)
    torch.testing.assert_close(run.played.weights.detach(), start - 0.3 * slope)
    assert (run.played.weights[0::2] - run.played.weights[1::2]).abs().max() > 1e-3
    torch.testing.assert_close(run.outer.weights.detach().repeat_interleave(2, dim=0), start, rtol=0, atol=0)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_meta_iteration_is_its_inner_rollouts_and_one_more(meta_run, specification, steps):
    run = meta_run(specification(MAMLSettings(tasks=2, steps=steps), iterations=8))
    seen = [run.outer.weights.detach().clone()]
    for _ in range(8):
        run.iterate(1)
        seen.append(run.outer.weights.detach().clone())
    moved = [not torch.equal(before, after) for before, after in pairwise(seen)]
    assert moved == [(number + 1) % (steps + 1) == 0 for number in range(8)]
    assert [stats["inner_steps"].tolist() for stats in run.stats] == [[float(n % (steps + 1))] * 2 for n in range(8)]
    assert run.optimiser.env_steps.tolist() == [8 * 4 * 12] * 2, "a member's steps of all rollouts together"
    assert len({tuple(stats) for stats in run.stats}) == 1


def test_statistics_are_the_members_and_of_all_their_tasks(meta_run, specification):
    run = meta_run(specification(TWO))
    rollouts = []
    run.iterate(2, lambda iteration, rollout: rollouts.append(rollout.obs.copy()))
    played = run.played.observations
    for member in range(2):
        own = np.concatenate([obs[:, 2 * member : 2 * member + 2].reshape(-1, 3) for obs in rollouts])
        np.testing.assert_allclose(state(run, member)["observations.mean"], own.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(state(run, member)["observations.var"], own.var(axis=0), rtol=1e-5)
        assert state(run, member)["observations.count"] == len(own) == 2 * 4 * 12
        for number in (2 * member, 2 * member + 1):
            torch.testing.assert_close(played.mean[number], run.outer.observations.mean[member], rtol=0, atol=0)


@pytest.mark.parametrize("action", [None, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("order", [1, 2])
def test_members_together_are_members_alone(meta_run, specification, action, order):
    settings = MAMLSettings(tasks=2, inner_lr=0.3, order=order)
    together = meta_run(specification(settings, seeds=(3, 11, 5), action=action)).iterate(6)
    for number, seed in enumerate((3, 11, 5)):
        alone = meta_run(specification(settings, seeds=(seed,), action=action)).iterate(6)
        assert_members_equal(together, number, alone, 0, rtol=0, atol=1e-6)
        assert [stats["kl"][number] for stats in together.stats] == pytest.approx(
            [stats["kl"][0] for stats in alone.stats], abs=1e-5, nan_ok=True
        )


@pytest.mark.parametrize("where", [0, 1], ids=["adapting", "adapted"])
def test_one_tasks_nan_stays_in_its_member(meta_run, specification, where):
    def spoil(iteration, rollout):
        if iteration == where:
            rollout.rewards[3, 2] = np.nan  # a task of the second member

    clean, spoiled = (meta_run(specification(TWO, seeds=(3, 11, 5))) for _ in range(2))
    clean.iterate(4), spoiled.iterate(4, spoil)
    for member in (0, 2):
        assert_members_equal(spoiled, member, clean, member, rtol=0, atol=0)
    assert all(np.isfinite(array).all() for array in state(spoiled, 1).values())
    skipped = np.array([stats["skipped"] for stats in spoiled.stats])
    assert skipped[:, [0, 2]].sum() == 0
    assert skipped[:, 1].tolist() == ([1, 4, 0, 0] if where == 0 else [0, 4, 0, 0])
    assert not np.array_equal(state(spoiled, 1)["actor.0.weight"], state(clean, 1)["actor.0.weight"])


def test_the_same_seed_gives_the_same_weights(meta_run, specification):
    one, same, other = (meta_run(specification(TWO, seeds=(seed,))).iterate(4) for seed in (3, 3, 4))
    assert torch.equal(one.outer.weights, same.outer.weights)
    assert not torch.equal(one.outer.weights, other.outer.weights)


@pytest.mark.parametrize("at", [1, 2])
def test_a_restored_meta_iteration_goes_on_bit_for_bit(meta_run, specification, at):
    spec = specification(MAMLSettings(tasks=2, steps=2))
    whole, first = meta_run(spec).iterate(6), meta_run(spec).iterate(at)
    second = meta_run(spec)
    for name in ("outer", "played"):
        getattr(second, name).load_state_dict(getattr(first, name).state_dict())
    second.optimiser.load_state_dict(first.optimiser.state_dict())
    second.learning.restore(first.learning.state())
    second.generator, second.world, second.iteration = first.generator, first.world, at
    second.iterate(6 - at)
    assert torch.equal(second.outer.weights, whole.outer.weights)


def test_learned_rates_move_and_are_part_of_the_policy(meta_run, specification):
    run = meta_run(specification(TWO, kind=KIND, iterations=12, **EAGER)).iterate(12)
    factors = state(run, 0)[LOG_FACTORS]
    assert factors.shape == (len(run.outer.layout.slots) - 1,)
    groups = [slot.name for slot in run.outer.layout.slots[:-1]]
    moved = {name for name, factor in zip(groups, factors, strict=True) if abs(factor) > 1e-4}
    assert moved == {name for name in groups if name.startswith("actor.")}, "inner steps are the policy's"
    copy = build_module(run.spec.module, [0])
    copy.load_member_state(0, state(run, 0))
    obs = torch.randn(1, 5, 3)
    torch.testing.assert_close(copy.logits(obs)[0], run.outer.logits(obs.expand(2, -1, -1))[0])
    changed = dict(state(run, 0)) | {LOG_FACTORS: factors + 3.0}
    copy.load_member_state(0, changed)
    torch.testing.assert_close(copy.logits(obs)[0], run.outer.logits(obs.expand(2, -1, -1))[0])


def test_tasks_are_drawn_by_seed_and_meta_iteration(specification):
    spec = specification(TWO)
    draws = [[drawn_tasks(member, 2, number) for number in range(40)] for member in spec.members]
    assert draws[0] != draws[1]
    for member, own in zip(spec.members, draws, strict=True):
        assert own == [drawn_tasks(member, 2, number) for number in range(40)]
        assert all(len(set(tasks)) == 2 for tasks in own)
        counts = [sum(task in tasks for tasks in own) for task in member.tasks]
        assert min(counts) > 10, "each of four tasks is drawn in half of the meta-iterations"
    played = task_members(spec, 5)
    assert [member.tasks[0] for member in played.members[:2]] == list(draws[0][5])
    assert len({member.seed for member in played.members}) == 4
    assert [member.seed for member in played.members] == task_seeds(spec)
    assert [member.seed for member in task_members(specification(TWO, seeds=(11,)), 5).members] == task_seeds(spec)[2:]
