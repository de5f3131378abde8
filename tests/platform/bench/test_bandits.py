"""RL^2 on bandits: the table has all its rows, and their numbers are what probability says."""

import numpy as np
import pytest

from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.modules.build import to_bundle
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.known.bandit.optimum import bayes_optimum
from roamrl.platform.bench.bandits import TEST_SEED, Earned, Training, learner, print_rewards, table, train

PULLS = 5
REFERENCES = {"random", "greedy", "thompson", "ucb1", "gittins", "best-arm"}
TINY = Training(PULLS, 40_000, trials=200, memory=16, bandits=1000)


@pytest.fixture(scope="module")
def untrained():
    module, _ = start_population(learner(TINY, 2))
    return [to_bundle(module, member) for member in range(2)]


def test_every_policy_has_its_row_and_rewards_are_what_probability_says(untrained):
    rows = {row.policy: row for row in table(untrained, PULLS, 3000)}
    assert set(rows) == {*REFERENCES, "optimum", "rl2, greedy", "rl2, sampled"}
    assert list(rows) == sorted(rows, key=lambda name: rows[name].reward)
    assert rows["best-arm"].reward == PULLS * 5 / 6
    assert rows["best-arm"].half_width == 0.0
    assert rows["optimum"].reward == pytest.approx(bayes_optimum(5, PULLS))
    for blind in ("random", "rl2, sampled"):
        assert rows[blind].reward == pytest.approx(PULLS / 2, abs=2.0 * rows[blind].half_width), "weights near zero"
    assert rows["random"].reward < rows["thompson"].reward < rows["gittins"].reward <= rows["optimum"].reward + 0.05
    assert [len(rows[name].by_seed) for name in ("rl2, greedy", "rl2, sampled", "gittins")] == [2, 2, 1]


def test_the_interval_is_that_of_bandits_and_seeds():
    regrets = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    of_one = Earned.of("one", regrets[:1], 10.0)
    assert (of_one.reward, of_one.half_width) == (8.0, pytest.approx(1.96 / np.sqrt(3)))
    of_two = Earned.of("two", regrets, 10.0)
    np.testing.assert_array_equal(of_two.by_seed, [2.0, 4.0])
    assert (of_two.reward, of_two.half_width) == (7.0, pytest.approx(1.96 * np.sqrt(1 / 3 + 2 / 2)))


def test_what_is_trained_on_is_not_tested_on_and_an_episode_is_a_trial():
    spec = learner(TINY, 3)
    (pool,) = {member.tasks for member in spec.members}
    assert len(set(pool)) == TINY.bandits
    assert not set(pool) & set(get_family("bandit-v1").sample(TINY.bandits, TEST_SEED, config={"pulls": PULLS}))
    assert (spec.module.extras.feedback, spec.module.extras.trial_episodes) == (True, 1)
    assert (spec.phases[0].length, spec.member_steps(spec.iterations)) == (PULLS, TINY.steps)


def test_an_interval_needs_bandits():
    with pytest.raises(InputError, match="at least 2"):
        table([], PULLS, 1)


@pytest.mark.ray
def test_training_learns_to_pull_what_paid(local_ray, capsys):
    policies = train(TINY, 2)
    rows = {row.policy: row for row in table(policies, PULLS, 2000)}
    chance, found = rows["random"], rows["rl2, greedy"]
    assert found.reward - found.half_width > chance.reward + chance.half_width
    assert (found.by_seed < rows["random"].regret).all()
    assert found.reward < rows["optimum"].reward + found.half_width
    print_rewards(list(rows.values()), PULLS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-len(rows) :]] == list(rows)
    assert f"{PULLS} pulls" in lines[0]
