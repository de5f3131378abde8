"""The reward's parts: weighed by the context's weights they are the reward, at every step."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING


@pytest.mark.parametrize("late_penalty", [0.0, 0.3])
def test_weighed_parts_are_the_reward_and_the_observation_shows_the_weights(late_penalty):
    config = {"late_penalty": late_penalty, "episode_windows": 6}
    tasks = SLICING.sample(4, 1, config=config, outside=("load",))
    parts = SLICING.reward_parts(SLICING.config(config))
    assert parts.names == ("control", "video", "xr")
    env = SLICING.make_vec(tasks, 4, seed=3)
    env.keep_reward_parts()
    env.reset()
    rng = np.random.default_rng(0)
    spread = []
    for _ in range(20):  # episodes of six windows end and begin anew on the way
        obs, rewards, *_ = env.step(rng.integers(0, env.single_action_space.n, 4))
        shown = obs[:, slice(*parts.weights_at)]
        np.testing.assert_allclose(shown, [task.context["weights"] for task in env.current_tasks()], rtol=1e-6)
        np.testing.assert_allclose((env.reward_parts() * shown).sum(axis=1), rewards, rtol=1e-6, atol=1e-9)
        spread.append(env.reward_parts())
    assert np.ptp(np.stack(spread), axis=0).max() > 0.5


def test_weights_stand_where_the_observed_context_puts_them():
    config = SLICING.config({"observed": ["load", "weights", "prb"]})
    start, stop = SLICING.reward_parts(config).weights_at
    size = SLICING.spaces(config)[0].shape[0]
    assert (start, stop) == (size - 4, size - 1)
    assert SLICING.reward_parts(SLICING.config({"observed": ["load"]})).weights_at is None


def test_parts_are_kept_only_if_asked():
    env = SLICING.make_vec(SLICING.sample(1, 1), 1, seed=3)
    with pytest.raises(InputError, match="keep_reward_parts"):
        env.reward_parts()
