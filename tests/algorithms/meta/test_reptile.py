"""Reptile: the step towards the adapted weights, its rate, independence of members, resuming."""

import numpy as np
import pytest
import torch

from roamrl.algorithms.meta_learning import ReptileSettings
from roamrl.algorithms.population.reptile import towards

SETTINGS = ReptileSettings(tasks=2, steps=2, rate=0.8, final_rate=0.2)


@pytest.mark.parametrize("rate", [0.25, 0.5, 1.0])
def test_a_step_shrinks_the_distance_to_the_adapted_weights_mean(rate):
    generator = torch.Generator().manual_seed(1)
    weights, adapted = torch.randn(2, 5, generator=generator), torch.randn(6, 5, generator=generator)
    before, mean = weights.clone(), adapted.view(2, 3, 5).mean(dim=1)
    assert towards(weights, adapted, rate).tolist() == [True, True]
    torch.testing.assert_close(weights - mean, (1 - rate) * (before - mean))


def test_a_member_whose_adapted_weights_are_not_finite_stays():
    weights, adapted = torch.zeros(2, 3), torch.ones(4, 3)
    adapted[1, 2] = torch.inf
    assert towards(weights, adapted, 0.5).tolist() == [False, True]
    assert weights.tolist() == [[0.0] * 3, [0.5] * 3]


def test_a_meta_iteration_goes_part_of_the_way_where_ppo_led(meta_run, specification):
    run = meta_run(specification(SETTINGS)).iterate(1)
    start = run.outer.weights.detach().clone()
    assert (run.played.weights.detach() - start.repeat_interleave(2, dim=0)).abs().max() > 1e-4
    led = []
    original = run.outer.observe  # called between PPO's update and the step: task members are overwritten after it

    def observe(obs, held=None):
        led.append(run.played.weights.detach().clone())
        original(obs, held)

    run.outer.observe = observe
    run.iterate(1)
    mean = led[0].view(2, 2, -1).mean(dim=1)
    after = run.outer.weights.detach()
    torch.testing.assert_close((after - mean).norm(dim=1), 0.2 * (start - mean).norm(dim=1), rtol=1e-3, atol=0)
    torch.testing.assert_close(run.played.weights.detach(), after.repeat_interleave(2, dim=0), rtol=0, atol=0)


def test_the_rate_falls_linearly_over_the_plan(meta_run, specification):
    run = meta_run(specification(SETTINGS, iterations=8))
    rates = []
    for _ in range(4):
        rates.append(run.learning.rate)
        run.iterate(2)
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_members_together_are_members_alone(meta_run, specification):
    together = meta_run(specification(SETTINGS, seeds=(3, 11))).iterate(4)
    for number, seed in enumerate((3, 11)):
        alone = meta_run(specification(SETTINGS, seeds=(seed,))).iterate(4)
        expected = alone.outer.member_state(0)
        for name, array in together.outer.member_state(number).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-6, err_msg=name)


def test_one_tasks_nan_stays_in_its_member(meta_run, specification):
    def spoil(iteration, rollout):
        if iteration == 0:
            rollout.rewards[3, 2] = np.nan

    clean, spoiled = (meta_run(specification(SETTINGS)) for _ in range(2))
    clean.iterate(4), spoiled.iterate(4, spoil)
    assert torch.equal(clean.outer.weights[0], spoiled.outer.weights[0])
    assert torch.isfinite(spoiled.outer.weights[1]).all()
    skipped = np.array([stats["skipped"] for stats in spoiled.stats])
    assert skipped[:, 0].sum() == 0
    assert skipped[:, 1].tolist() == [4, 0, 0, 0]


@pytest.mark.parametrize("at", [1, 2])
def test_a_restored_meta_iteration_goes_on_bit_for_bit(meta_run, specification, at):
    spec = specification(SETTINGS)
    whole, first = meta_run(spec).iterate(6), meta_run(spec).iterate(at)
    second = meta_run(spec)
    for name in ("outer", "played"):
        getattr(second, name).load_state_dict(getattr(first, name).state_dict())
    second.learning.restore(first.learning.state())
    second.generator, second.world, second.iteration = first.generator, first.world, at
    second.iterate(6 - at)
    assert torch.equal(second.outer.weights, whole.outer.weights)
    assert second.learning.rate == whole.learning.rate
