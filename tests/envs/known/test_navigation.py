import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from roamrl.envs.errors import InputError
from roamrl.envs.known import NAVIGATION
from roamrl.envs.known.navigation.config import NavigationConfig
from roamrl.envs.known.navigation.family import gap_a_step


def played(name, tasks):
    return NAVIGATION.references({})[name].play(NAVIGATION, tasks, episodes=1, seed=0).returns[:, 0]


def test_a_goal_straight_ahead_is_reached_by_arithmetic():
    task = NAVIGATION.task({"goal": [0.0, 1.0]})
    assert played("stay", [task])[0] == pytest.approx(-100.0)
    assert played("straight", [task])[0] == pytest.approx(-sum(1 - k / 10 for k in range(1, 11)))


def test_staying_is_the_distance_and_the_optimum_the_gap_above_it():
    tasks = NAVIGATION.sample(8, 3, config={"goals": "square"})
    stay, straight = played("stay", tasks), played("straight", tasks)
    distance = np.array([np.hypot(*task.context["goal"]) for task in tasks])
    np.testing.assert_allclose(stay, -100 * distance)
    gaps = [gap_a_step(task, NavigationConfig(goals="square")) for task in tasks]
    np.testing.assert_allclose((straight - stay) / 100, gaps)


def test_nobody_beats_the_oracle():
    tasks = NAVIGATION.sample(4, 1, config={"steps": 15})
    best = played("straight", tasks)
    rng = np.random.default_rng(0)
    for eagerness in (0.3, 1.0, 3.0):
        env = NAVIGATION.make_vec(tasks, 400, seed=0)
        env.reset()
        total = np.zeros(400)
        for _ in range(15):
            towards = (env.goals - env.position) / 0.1
            total += env.step(np.clip(towards + eagerness * rng.normal(size=(400, 2)), -1, 1))[1]
        assert (total.reshape(-1, 4).max(axis=0) <= best + 1e-9).all()
        assert total.mean() > -15.0


def test_moves_are_clipped_and_the_goal_is_not_seen():
    tasks = NAVIGATION.sample(2, 0)
    env = NAVIGATION.make_vec(tasks, 2, seed=0)
    first, _ = env.reset()
    np.testing.assert_array_equal(first, np.zeros((2, 2)))
    obs, rewards, _, _, infos = env.step(np.array([[5.0, -0.5], [5.0, -0.5]]))
    np.testing.assert_allclose(obs, [[0.1, -0.05]] * 2, rtol=1e-6)
    assert rewards[0] != rewards[1]
    np.testing.assert_array_equal(infos["distance"], -rewards)


def test_an_episode_has_its_steps_and_the_state_holds_it():
    env = NAVIGATION.make_vec(NAVIGATION.sample(3, 0, config={"steps": 12}), seed=0)
    env.reset()
    moves = np.random.default_rng(0).normal(size=(30, 3, 2))
    ends = []
    for step in range(7):
        ends.append(env.step(moves[step])[3].all())
    state = env.get_state()
    first = [env.step(row) for row in moves[7:]]
    ends += [row[3].all() for row in first]
    assert np.flatnonzero(ends).tolist() == [11, 23]
    env.set_state(state)
    for row, again in zip(first, (env.step(row) for row in moves[7:]), strict=True):
        np.testing.assert_array_equal(row[0], again[0])


@pytest.mark.parametrize("goals", ["half-circle", "square"])
def test_goals_lie_where_the_config_says(goals):
    config = NAVIGATION.config({"goals": goals, "extent": 0.5})
    splits = NAVIGATION.splits(config)
    inside, beyond = (np.array([task.context["goal"] for task in splits[name]]) for name in ("train", "ood-goal"))
    if goals == "half-circle":
        np.testing.assert_allclose(np.linalg.norm([*inside, *beyond], axis=1), 0.5)
        assert inside[:, 1].min() >= 0 >= beyond[:, 1].max()
        assert np.ptp(inside[:, 0]) > 0.8
    else:
        assert np.abs(inside).max() <= 0.5 <= np.abs(beyond).max(axis=1).min()
        assert np.abs(beyond).max() <= 1.0
    assert len({task for split in splits.values() for task in split}) == 112


def test_the_one_cell_face_is_a_gymnasium_environment():
    check_env(NAVIGATION.make(NAVIGATION.task({"goal": [0.3, 0.4]})), skip_render_check=True)


@pytest.mark.parametrize(
    ("config", "context", "message"),
    [
        ({"goal": 1}, {}, "did you mean 'goals'"),
        ({"goals": "cube"}, {}, "goals"),
        ({}, {"goal": [1.0]}, r"a goal is \[x, y\]"),
        ({"steps": 5}, {"goal": [0.0, 3.0]}, "from -0.5 to 0.5"),
    ],
)
def test_what_cannot_be_reached_is_refused(config, context, message):
    with pytest.raises(InputError, match=message):
        NAVIGATION.task(context, config)


def test_moves_that_are_no_numbers_are_refused():
    env = NAVIGATION.make_vec(NAVIGATION.sample(1, 0), seed=0)
    env.reset()
    with pytest.raises(InputError, match="finite numbers"):
        env.step(np.array([[np.nan, 0.0]]))
