"""The families whose truth is known under their Gymnasium ids."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import roamrl.envs  # noqa: F401  registers the ids
from roamrl.envs.known import BANDIT, NAVIGATION


@pytest.mark.parametrize(("name", "family"), [("roamrl/Bandit-v1", BANDIT), ("roamrl/Navigation-v1", NAVIGATION)])
def test_a_cell_is_the_first_row_of_the_family_with_that_seed(name, family):
    task = family.sample(1, 3)[0]
    cell = gymnasium.make(name, tasks=[task], seed=7)
    check_env(cell.unwrapped, skip_render_check=True)
    cell = gymnasium.make(name, tasks=[task], seed=7)
    env = family.make_vec([task], 1, 7)
    first, _ = cell.reset()
    batch, _ = env.reset()
    np.testing.assert_array_equal(first, batch[0])
    cell.action_space.seed(0)
    for _ in range(5):
        action = cell.action_space.sample()
        obs, reward, *_ = cell.step(action)
        batch, rewards, *_ = env.step(np.asarray(action)[None])
        np.testing.assert_array_equal(obs, batch[0])
        assert reward == rewards[0]
