import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.known import BANDIT

BEST_OF_FIVE = 5 / 6
"""Expected greatest of five uniform probabilities."""


def play_fixed(env, arms):
    env.reset()
    return np.array([env.step(np.asarray(row))[1] for row in arms])


def test_arms_pay_with_their_probabilities():
    task = BANDIT.task({"probabilities": [0.0, 0.2, 0.5, 0.9, 1.0]}, {"pulls": 1000})
    env = BANDIT.make_vec([task], 50, seed=3)
    arms = np.arange(50)[None].repeat(1000, 0) % 5
    paid = play_fixed(env, arms).mean(axis=0).reshape(10, 5).mean(axis=0)
    np.testing.assert_allclose(paid, [0.0, 0.2, 0.5, 0.9, 1.0], atol=0.02)


def test_a_batch_is_its_cells_alone_whatever_the_neighbours_pull():
    tasks = BANDIT.sample(3, 0, config={"pulls": 20})
    env = BANDIT.make_vec(tasks, 6, seed=9)
    arms = np.random.default_rng(0).integers(0, 5, (45, 6))
    rewards = play_fixed(env, arms)
    for row in range(6):
        cell = BANDIT.make(tasks[row % 3], seed=9, index=row)
        cell.reset()
        for step in range(20):
            _, reward, terminated, truncated, _ = cell.step(arms[step, row])
            assert reward == rewards[step, row]
            assert (terminated, truncated) == (step == 19, False), "the horizon is the problem's own"
    assert len({tuple(rewards[:20, row]) for row in range(6)}) == 6
    assert not np.array_equal(rewards[:20, 0], rewards[20:40, 0]), "the next episode has other draws"


def test_tasks_are_compared_on_common_random_numbers():
    tasks = [BANDIT.task({"probabilities": [p] * 5}) for p in (0.3, 0.6)]
    arms = np.random.default_rng(1).integers(0, 5, (50, 1))
    scarce, plenty = (play_fixed(BANDIT.make_vec([task], 1, seed=4), arms) for task in tasks)
    assert (plenty >= scarce).all()
    assert plenty.sum() > scarce.sum() > 0


def test_the_state_holds_everything():
    env = BANDIT.make_vec(BANDIT.sample(2, 0), 4, seed=1)
    play_fixed(env, np.zeros((7, 4), np.int64))
    state = env.get_state()
    arms = np.random.default_rng(0).integers(0, 5, (150, 4))
    first = [env.step(row)[1] for row in arms]
    env.set_state(state)
    np.testing.assert_array_equal(first, [env.step(row)[1] for row in arms])


@pytest.mark.parametrize(
    ("pulls", "reference", "published", "tolerance"),
    [
        (10, "random", 5.0, 0.15),
        (10, "thompson", 5.7, 0.2),
        (10, "greedy", 6.6, 0.15),
        (10, "gittins", 6.6, 0.15),
        (100, "random", 49.9, 1.0),
        (100, "thompson", 74.7, 0.8),
        (100, "greedy", 74.8, 1.0),
        (100, "gittins", 78.3, 0.8),
    ],
)
def test_references_earn_what_was_published(pulls, reference, published, tolerance, regrets):
    """Duan et al., "RL^2", 2016, table 1, five arms: by regret, since a sample of tasks has a best arm of its own."""
    tasks = BANDIT.sample(1500 if pulls == 100 else 4000, 7, config={"pulls": pulls})
    assert pulls * BEST_OF_FIVE - regrets(reference, tasks).mean() == pytest.approx(published, abs=tolerance)


def test_references_stand_in_order_between_chance_and_the_best_arm():
    tasks = BANDIT.sample(200, 8)
    regret = {
        name: reference.play(BANDIT, tasks, episodes=1, seed=2).measures["regret"].mean()
        for name, reference in BANDIT.references({}).items()
    }
    assert regret["best-arm"] == 0.0 < regret["gittins"] < regret["thompson"] < regret["ucb1"] < regret["random"]
    assert {reference.role for reference in BANDIT.references({}).values()} == {
        "trivial", "classical", "other", "oracle",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "reward"),
    [
        ("random", 5 / 2),
        ("thompson", 293369 / 108000),
        ("greedy", 1037 / 360),
        ("gittins", 2.8889),
        ("best-arm", 10 / 3),
    ],
)
def test_five_pulls_of_two_arms_earn_what_probability_says(reference, reward, regrets):
    """Greed and Thompson sampling by enumeration of all pasts; the Gittins index is as good here as the optimum."""
    middles = (np.arange(45) + 0.5) / 45
    tasks = [BANDIT.task({"probabilities": [p, q]}, {"arms": 2, "pulls": 5}) for p in middles for q in middles]
    assert 10 / 3 - regrets(reference, tasks, 12 * len(tasks)).mean() == pytest.approx(reward, abs=0.01)


@pytest.mark.parametrize("name", ["random", "greedy", "thompson", "ucb1", "gittins"])
def test_what_a_reference_does_depends_on_seed_and_episode_alone(name):
    tasks = BANDIT.sample(3, 1, config={"pulls": 30})
    reference = BANDIT.references({})[name]
    together = reference.play(BANDIT, tasks, episodes=4, seed=3).returns
    for number, task in enumerate(tasks):
        np.testing.assert_array_equal(
            reference.play(BANDIT, [task], episodes=2, seed=3).returns[0], together[number, :2]
        )
    assert len(np.unique(together)) > 1


def test_splits_tell_policies_apart_and_share_no_task():
    splits = BANDIT.splits(BANDIT.config())
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 64, "val": 16, "iid": 16, "ood-probabilities": 16,
    }  # fmt: skip
    contexts = [np.array([task.context["probabilities"] for task in split]) for split in splits.values()]
    assert all((drawn.max(axis=1) - drawn.mean(axis=1) >= 0.05).all() for drawn in contexts)
    assert contexts[3].max() < 0.3
    assert len({task for split in splits.values() for task in split}) == 112


@pytest.mark.parametrize(
    ("config", "context", "message"),
    [
        ({"arm": 3}, {}, "did you mean 'arms'"),
        ({"arms": 1}, {}, "arms"),
        ({}, {"probabilities": [0.5]}, "5 probabilities are needed"),
        ({}, {"probabilities": [0.5] * 4 + [1.5]}, "from 0 to 1"),
    ],
)
def test_what_is_no_bandit_is_refused(config, context, message):
    with pytest.raises(InputError, match=message):
        BANDIT.task(context, config)


@pytest.mark.parametrize("actions", [np.array([5, 0]), np.array([0.0, 1.0]), np.array([0])])
def test_what_is_no_arm_is_refused(actions):
    env = BANDIT.make_vec(BANDIT.sample(2, 0), seed=1)
    env.reset()
    with pytest.raises(InputError, match="arms"):
        env.step(actions)
