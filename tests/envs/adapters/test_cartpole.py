"""CartPole as a family: a task's physics is that of a CartPole built with the task's numbers."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family


def by_hand(length: float, gravity: float, force_mag: float) -> gymnasium.Env:
    """Build the CartPole that its author would have written with these numbers."""
    env = gymnasium.make("CartPole-v1").unwrapped
    env.length, env.gravity, env.force_mag = length, gravity, force_mag
    env.polemass_length = 0.1 * length  # the pole weighs 0.1 kg
    return env


def test_it_is_found_by_its_id_and_says_what_varies():
    assert get_family("gymnasium-v1") is GYMNASIUM
    space = GYMNASIUM.context_space(GYMNASIUM.config())
    assert set(space.names) == {"length", "gravity", "force_mag"}
    assert (space["length"].default, space["gravity"].default, space["force_mag"].default) == (0.5, 9.8, 10.0)


@pytest.mark.parametrize("context", [{}, {"length": 1.3}, {"length": 0.3, "gravity": 15.0, "force_mag": 6.0}])
def test_dynamics_equal_those_of_an_environment_built_by_hand(context):
    task = GYMNASIUM.task(context)
    env = GYMNASIUM.make(task, seed=11)
    obs, _ = env.reset()
    hand = by_hand(**task.context)
    hand.reset(seed=int(np.random.SeedSequence((11, 0, 0)).generate_state(1)[0]))
    rng = np.random.default_rng(4)
    np.testing.assert_array_equal(obs, np.array(hand.state, np.float32))
    for _ in range(30):
        action = int(rng.integers(2))
        obs, reward, terminated, truncated, _ = env.step(action)
        wanted, wanted_reward, wanted_end, _, _ = hand.step(action)
        np.testing.assert_array_equal(obs, wanted)
        assert (reward, terminated, truncated) == (wanted_reward, wanted_end, False)
        if terminated:
            return


def test_each_variable_changes_the_next_observation():
    alike = [GYMNASIUM.task(), *(GYMNASIUM.task({name: 1.5}) for name in ("length", "gravity", "force_mag"))]
    rows = []
    for task in alike:
        env = GYMNASIUM.make(task, seed=3)
        env.reset()
        for _ in range(3):
            obs = env.step(1)[0]
        rows.append(obs)
    assert len({row.tobytes() for row in rows}) == 4


def test_episodes_are_cut_at_the_length_asked_for():
    config = {"make": "CartPole-v1", "max_episode_steps": 4}
    env = GYMNASIUM.make(GYMNASIUM.task(config=config))
    env.reset()
    ends = [env.step(step % 2)[2:4] for step in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_observed_variables_are_seen_scaled_over_the_training_range():
    context = {"length": {"train": [0.4, 0.6]}, "gravity": {"train": [8, 12], "ood": [15, 20]}}
    config = {"make": "CartPole-v1", "context": context, "observed": ["gravity"]}
    assert GYMNASIUM.spaces(GYMNASIUM.config(config))[0].shape == (5,)
    assert GYMNASIUM.context_space(GYMNASIUM.config(config))["gravity"].visibility == "observed"
    for gravity, seen in ((8, -1.0), (10, 0.0), (12, 1.0), (20, 5.0)):
        env = GYMNASIUM.make(GYMNASIUM.task({"gravity": gravity}, config))
        assert env.reset()[0][-1] == env.step(0)[0][-1] == seen


def test_splits_keep_their_ranges_and_share_no_task():
    splits = GYMNASIUM.splits(GYMNASIUM.config())
    assert {name: len(split) for name, split in splits.items()} == {
        **{"train": 64, "val": 16, "iid": 16, "ood-length": 16, "ood-gravity": 16, "ood-force_mag": 16},
        "ood-all": 16,
    }
    tasks = [task for split in splits.values() for task in split]
    assert len(set(tasks)) == len(tasks)
    for name, split in splits.items():
        for task in split:
            assert (1.0 <= task.context["length"] <= 1.6) == (name in ("ood-length", "ood-all"))
            assert (15.0 <= task.context["gravity"] <= 20.0) == (name in ("ood-gravity", "ood-all"))
    assert splits["val"].hash == GYMNASIUM.splits(GYMNASIUM.config())["val"].hash


def test_features_are_centred_on_the_training_range():
    np.testing.assert_allclose(
        GYMNASIUM.features(GYMNASIUM.task({"length": 0.6, "gravity": 10, "force_mag": 10})), 0.0, atol=1e-12
    )
    np.testing.assert_allclose(
        GYMNASIUM.features(GYMNASIUM.task({"length": 0.8, "gravity": 14, "force_mag": 8})), [-1.0, 2.0, 1.0]
    )


def test_a_context_value_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="'length': a number is needed"):
        GYMNASIUM.task({"length": "long"})
