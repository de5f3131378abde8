"""A member is what it would be alone, whatever its neighbours are or suffer."""

import numpy as np
import pytest
import torch

from roamrl.algorithms.learner_spec import MemberSpec

MEMBERS = (
    MemberSpec(3, lr=1e-3, clip=0.2, entropy_coeff=0.0, max_grad_norm=0.5),
    MemberSpec(11, lr=3e-3, clip=0.1, entropy_coeff=0.02, max_grad_norm=0.1),
    MemberSpec(3, lr=3e-4, clip=0.3, entropy_coeff=0.005, max_grad_norm=10.0),
)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_members_together_are_members_alone(learner, request, kind):
    spec = request.getfixturevalue(kind)
    together = learner(MEMBERS, spec).iterate(10)
    for number, member in enumerate(MEMBERS):
        alone = learner([member], spec).iterate(10)
        expected = alone.module.member_state(0)
        for name, array in together.module.member_state(number).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-4, err_msg=name)
        assert [stats["kl"][number] for stats in together.stats] == pytest.approx(
            [stats["kl"][0] for stats in alone.stats], abs=1e-4
        )


def test_learning_moves_members_apart(learner):
    run = learner(MEMBERS).iterate(10)
    first, second, third = (run.module.member_state(i)["actor.0.weight"] for i in range(3))
    assert np.abs(first - third).max() > 1e-2  # same seed, other settings
    assert np.abs(first - second).max() > 1e-1


def test_members_learn_the_toy(learner):
    run = learner([MemberSpec(seed, lr=3e-3) for seed in range(3)]).iterate(25)
    assert (np.mean(run.rewards[:3], axis=0) < 0.5).all()
    assert (np.mean(run.rewards[-3:], axis=0) > 0.7).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_members_nan_leaves_the_others_bitwise_alone(learner, bad):
    def spoil(iteration, rollout):
        if iteration == 2:
            rollout.rewards[4, 1, 2] = bad

    clean, spoiled = learner(MEMBERS).iterate(5), learner(MEMBERS).iterate(5, spoil)
    for member in (0, 2):
        expected = clean.module.member_state(member)
        for name, array in spoiled.module.member_state(member).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert [stats["skipped"].tolist() for stats in spoiled.stats] == [[0, 0, 0]] * 2 + [[0, 16, 0]] + [[0, 0, 0]] * 2


def test_a_skipped_member_stays_as_it_was_and_goes_on(learner):
    def spoil(iteration, rollout):
        if iteration == 1:
            rollout.rewards[:, 1] = np.nan

    run = learner(MEMBERS).iterate(1)
    before = run.module.member_state(1)
    moments = run.optimiser.state_dict()
    run.iterate(2, lambda iteration, rollout: spoil(iteration + 1, rollout))
    trace = [run.optimiser.updates.tolist(), moments["updates"].tolist()]
    assert trace == [[48.0, 32.0, 48.0], [16.0, 16.0, 16.0]]
    after = run.module.member_state(1)
    assert all(np.isfinite(array).all() for array in after.values())
    assert np.abs(after["actor.head.weight"] - before["actor.head.weight"]).max() > 0


def test_nan_weights_of_a_member_stay_its_own(learner):
    clean, spoiled = learner(MEMBERS), learner(MEMBERS)
    with torch.no_grad():
        spoiled.module.weights[1, 5] = torch.nan
    clean.iterate(3), spoiled.iterate(3)
    for member in (0, 2):
        np.testing.assert_array_equal(
            clean.module.weights[member].detach().numpy(), spoiled.module.weights[member].detach().numpy()
        )
