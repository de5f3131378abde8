"""The batch: equal to its cells alone bit for bit, whatever the grouping; autoreset, state and tasks."""

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import batches, poisson

CONFIGS = {
    "one user": {"episode_slots": 12, "history": 2},
    "shared": {"episode_slots": 12, "history": 2, "users": 3, "resource_blocks": 4, "max_rate": 3},
    "dedicated": {"episode_slots": 12, "users": 2, "resource_blocks": 3, "sharing": "dedicated"},
}
STEPS = 30


def _tasks(config):
    tasks = [*URLLC.sample(3, seed=1, config=config), URLLC.task({"arrivals": batches(2.0)}, config)]
    return [*tasks, URLLC.task({"arrivals": poisson(2.0), "fading_mean_db": -5.0, "violation_cost": 10.0}, config)]


def _placement(rows, tasks):
    """Place rows of two members (seeds 5 and 8); row number r means member r // 4, index r % 4."""
    pools = tuple((tasks[row % 5], tasks[(row + 2) % 5]) for row in rows)
    seeds = np.array([5 if row < 4 else 8 for row in rows], np.int64)
    return Placement(seeds, np.array([row % 4 for row in rows], np.int64), pools, 4)


def _actions(config, rows=8, seed=0):
    count = URLLC.spaces(URLLC.config(config))[1].n
    return np.random.default_rng(seed).integers(0, count, (STEPS, rows))


def _run(env, actions):
    frames = [env.reset()[0]]
    rewards, measures, ends = [], [], []
    for step in actions:
        obs, reward, terminated, truncated, infos = env.step(step)
        frames.append(obs)
        rewards.append(reward)
        measures.append([infos[name] for name in URLLC.measures])
        ends.append(truncated)
        assert not terminated.any()
    return np.array(frames), np.array(rewards), np.array(measures), np.array(ends)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5, 6, 7], [7, 2, 5, 0], [6]])
def test_a_batch_equals_its_cells_alone_bit_for_bit(rows, config):
    tasks = _tasks(config)
    actions = _actions(config)
    together = _run(URLLC.make_placed(_placement(rows, tasks)), actions[:, rows])
    for column, row in enumerate(rows):
        alone = _run(URLLC.make_placed(_placement([row], tasks)), actions[:, [row]])
        for batch, single, axis in zip(together, alone, (1, 1, 2, 1), strict=True):
            assert np.array_equal(np.take(batch, column, axis=axis), np.take(single, 0, axis=axis))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_scalar_face_equals_its_row(config):
    actions = _actions(config, rows=3)[:10]
    task = URLLC.task({"arrivals": poisson(2.0)}, config)
    frames, rewards = _run(URLLC.make_vec([task], 3, seed=6), actions)[:2]
    cell = URLLC.make(task, seed=6, index=2)
    assert np.array_equal(cell.reset()[0], frames[0, 2])
    for step in range(10):
        obs, reward, _, _, _ = cell.step(actions[step, 2])
        assert np.array_equal(obs, frames[step + 1, 2]) and reward == rewards[step, 2]


def test_rows_of_other_seeds_and_indices_differ():
    frames = _run(URLLC.make_vec([URLLC.task()], 3, seed=1), np.full((20, 3), 2))[0]
    other = _run(URLLC.make_vec([URLLC.task()], 3, seed=2), np.full((20, 3), 2))[0]
    assert not np.array_equal(frames[:, 0], frames[:, 1])
    assert not np.array_equal(frames, other)


def test_channels_are_the_same_whatever_the_task_and_the_actions():
    gains = []
    for context, action in (({}, 0), ({"arrivals": batches(2.0), "violation_cost": 1.0}, 8)):
        gains.append(_run(URLLC.make_vec([URLLC.task(context)], 8, seed=3), np.full((20, 8), action))[0][..., 1])
    assert np.array_equal(*gains)


def test_same_step_and_next_step_tell_the_same_story():
    config = CONFIGS["one user"]
    tasks = _tasks(config)
    actions = np.random.default_rng(1).integers(0, 9, (40, 4))
    same = URLLC.make_placed(_placement([0, 1, 2, 3], tasks), "SameStep")
    after = URLLC.make_placed(_placement([0, 1, 2, 3], tasks), "NextStep")
    assert np.array_equal(same.reset()[0], after.reset()[0])
    for step in range(40):
        obs, reward, _, truncated, infos = same.step(actions[step])
        last, later_reward, _, ended, later = after.step(actions[step])
        assert np.array_equal(reward, later_reward) and np.array_equal(truncated, ended)
        assert np.array_equal(infos["power"], later["power"])
        if truncated.any():
            assert (step + 1) % 12 == 0 and truncated.all() and infos["_final_obs"].all()
            assert np.array_equal(infos["final_obs"], last)
            last, nothing, _, ended, later = after.step(actions[step])
            assert not nothing.any() and not ended.any() and not later["_power"].any()
            assert not later["power"].any()
        assert np.array_equal(obs, last)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_state_resumes_bit_for_bit(mode, config):
    tasks = _tasks(config)
    actions = _actions(config, seed=2)
    env = URLLC.make_placed(_placement(range(8), tasks), mode)
    env.reset()
    for step in actions[:13]:
        env.step(step)
    state = env.get_state()
    expected = [env.step(step) for step in actions[13:]]
    fresh = URLLC.make_placed(_placement(range(8), tasks), mode)
    fresh.reset(seed=99)
    fresh.step(actions[0])
    fresh.set_state(state)
    for step, (obs, reward, _, truncated, infos) in zip(actions[13:], expected, strict=True):
        again = fresh.step(step)
        assert np.array_equal(obs, again[0]) and np.array_equal(reward, again[1])
        assert np.array_equal(truncated, again[3])
        assert np.array_equal(infos["backlog"], again[4]["backlog"])


def test_an_episode_begins_with_an_empty_buffer_and_without_history():
    env = URLLC.make_vec([URLLC.task({"arrivals": poisson(2.0)}, CONFIGS["one user"])], 4, seed=4)
    first, _ = env.reset()
    for _ in range(12):
        obs, _, _, truncated, infos = env.step(np.zeros(4, np.int64))
    assert truncated.all() and (infos["final_obs"][:, 0] > 0.0).all() and infos["final_obs"][:, 2:].any()
    assert not obs[:, 0].any() and not obs[:, 2:].any() and not first[:, 0].any()
    assert not np.array_equal(obs, first)


def test_tasks_given_later_begin_with_the_next_episode():
    config = {"episode_slots": 5}
    easy, hard = URLLC.task({}, config), URLLC.task({"arrivals": poisson(2.0)}, config)
    actions = np.full((10, 2), 2)
    expected = _run(URLLC.make_vec([easy], 2, seed=1), actions)
    env = URLLC.make_vec([easy], 2, seed=1)
    env.reset()
    env.step(actions[0])
    env.set_tasks([hard, hard])
    for step in range(1, 5):
        assert env.current_tasks() == [easy, easy]
        _, reward, _, truncated, _ = env.step(actions[step])
        assert np.array_equal(reward, expected[1][step])
    assert truncated.all() and env.current_tasks() == [hard, hard]
    with pytest.raises(InputError, match="another family config"):
        env.set_tasks([URLLC.task()] * 2)


@pytest.mark.parametrize("actions", [np.array([0, 9]), np.array([-1, 0]), np.zeros(3, np.int64)])
def test_an_action_outside_the_space_is_refused(actions):
    env = URLLC.make_vec([URLLC.task()], 2)
    env.reset()
    with pytest.raises(InputError, match="below 9"):
        env.step(actions)


def test_tasks_of_different_configs_do_not_share_an_environment():
    with pytest.raises(InputError, match="different configs"):
        URLLC.make_vec([URLLC.task(), URLLC.task(config=CONFIGS["one user"])])
