import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family, register_family
from roamrl.platform.bench.toy import EPISODE_STEPS, TOY, ToyCell, ToyFamily


def test_the_toy_is_known_once_registered_and_only_one_of_that_id():
    register_family(TOY)
    register_family(TOY)
    assert get_family("toy-v0") is TOY
    with pytest.raises(InputError, match="toy-v0"):
        register_family(ToyFamily())


def test_a_row_depends_on_nothing_but_itself():
    actions = np.random.default_rng(0).integers(15, size=(250, 8))
    many = TOY.make_vec([TOY.task()], 8, seed=3)
    few = TOY.make_vec([TOY.task()], 3, seed=3)
    np.testing.assert_array_equal(many.reset()[0][:3], few.reset()[0])
    for step in actions:
        mine, theirs = many.step(step), few.step(step[:3])
        for column in range(4):
            np.testing.assert_array_equal(mine[column][:3], theirs[column])


def test_both_autoreset_modes_play_the_same_episode():
    same = TOY.make_vec([TOY.task()], 2, seed=1)
    following = TOY.make_vec([TOY.task()], 2, seed=1, autoreset_mode=AutoresetMode.NEXT_STEP)
    same.reset(), following.reset()
    actions = np.zeros(2, np.int64)
    for _ in range(EPISODE_STEPS - 1):
        same.step(actions), following.step(actions)
    first, last = same.step(actions), following.step(actions)
    assert first[3].all() and last[3].all()
    np.testing.assert_array_equal(first[4]["final_obs"], last[0])
    np.testing.assert_array_equal(first[0], following.step(actions)[0])


def test_pushing_against_where_the_point_stands_pays():
    from roamrl.platform.bench.toy import _PUSHES

    def play(choose):
        env = TOY.make_vec([TOY.task()], 64, seed=5)
        obs, total = env.reset()[0], 0.0
        for _ in range(EPISODE_STEPS):
            obs, reward, *_ = env.step(choose(obs))
            total += reward.mean()
        return total

    best = play(lambda obs: (np.square(0.9 * obs[:, None] + _PUSHES[None]).sum(axis=2)).argmin(axis=1))
    assert best > play(lambda obs: np.zeros(64, np.int64)) + 10.0


def test_the_single_point_is_a_proper_environment():
    check_env(ToyCell(), skip_render_check=True)
