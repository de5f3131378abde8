"""The batch: equal to its cells alone bit for bit, whatever the grouping; autoreset, state and tasks."""

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.slicing import SLICING
from roamrl.envs.slicing.env import SlicingEnv

CONFIG = {"episode_windows": 12, "history": 2}
STEPS = 30


def _tasks(config=CONFIG):
    tasks = [*SLICING.sample(3, seed=1, config=config), SLICING.task({"prb": 36, "load": 1.5}, config)]
    return [*tasks, SLICING.task({"stay": None, "users": [1, 2, 0]}, config)]


def _placement(rows, tasks):
    """Place rows of two members (seeds 5 and 8); row number r means member r // 4, index r % 4."""
    pools = tuple((tasks[row % 5], tasks[(row + 2) % 5]) for row in rows)
    seeds = np.array([5 if row < 4 else 8 for row in rows], np.int64)
    return Placement(seeds, np.array([row % 4 for row in rows], np.int64), pools, 4)


def _run(env, actions):
    frames = [env.reset()[0]]
    rewards, measures, ends = [], [], []
    for step in actions:
        obs, reward, terminated, truncated, infos = env.step(step)
        frames.append(obs)
        rewards.append(reward)
        measures.append([infos[name] for name in SLICING.measures])
        ends.append(truncated)
        assert not terminated.any()
    return np.array(frames), np.array(rewards), np.array(measures), np.array(ends)


@pytest.mark.parametrize("scheduler", ["round-robin", "proportional-fair"])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5, 6, 7], [7, 2, 5, 0], [6]])
def test_a_batch_equals_its_cells_alone_bit_for_bit(rows, scheduler):
    tasks = _tasks({**CONFIG, "scheduler": scheduler})
    actions = np.random.default_rng(0).integers(0, 36, (STEPS, 8))
    together = _run(SLICING.make_placed(_placement(rows, tasks)), actions[:, rows])
    for column, row in enumerate(rows):
        alone = _run(SLICING.make_placed(_placement([row], tasks)), actions[:, [row]])
        for batch, single, axis in zip(together, alone, (1, 1, 2, 1), strict=True):
            assert np.array_equal(np.take(batch, column, axis=axis), np.take(single, 0, axis=axis))


def test_rows_of_other_seeds_and_indices_differ():
    frames = _run(SLICING.make_vec([SLICING.task()], 3, seed=1), np.full((2, 3), 20))[0]
    other = _run(SLICING.make_vec([SLICING.task()], 3, seed=2), np.full((2, 3), 20))[0]
    assert not np.array_equal(frames[:, 0], frames[:, 1])
    assert not np.array_equal(frames, other)


def test_the_scalar_face_equals_its_row():
    actions = np.random.default_rng(0).integers(0, 36, (10, 3))
    frames, rewards = _run(SLICING.make_vec([SLICING.task()], 3, seed=6), actions)[:2]
    cell = SLICING.make(SLICING.task(), seed=6, index=2)
    assert np.array_equal(cell.reset()[0], frames[0, 2])
    for step in range(10):
        obs, reward, _, _, _ = cell.step(actions[step, 2])
        assert np.array_equal(obs, frames[step + 1, 2]) and reward == rewards[step, 2]


def test_the_next_observation_depends_on_the_action():
    env = SLICING.make_vec([SLICING.task()], 4, seed=3)
    env.reset()
    state = env.get_state()
    first = env.step(np.zeros(4, np.int64))[0]
    env.set_state(state)
    second = env.step(np.full(4, 35))[0]
    queues = [1, 2, 3]  # backlog, head-of-line delay, mean delay of the first slice
    assert (np.abs(first - second)[:, queues].max(axis=1) > 1e-3).all()
    offered = [0, 6, 12]
    assert np.array_equal(first[:, offered], second[:, offered])


def test_common_random_numbers_across_contexts():
    contexts = [{}, {"load": 1.5, "weights": [0.1, 0.2, 0.7]}]
    low, high = (SLICING.make_vec([SLICING.task(context)], 8, seed=3) for context in contexts)
    offered = []
    for env in (low, high):
        assert isinstance(env, SlicingEnv)
        env.reset()
        efficiency = env.efficiency
        offered.append(env.offered_bits)
    assert np.array_equal(low.efficiency, efficiency)
    np.testing.assert_allclose(offered[1][:, 1:], 1.5 * offered[0][:, 1:])


def test_same_step_and_next_step_tell_the_same_story():
    tasks = _tasks()
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 36, (40, 4))
    same = SLICING.make_placed(_placement([0, 1, 2, 3], tasks), "SameStep")
    after = SLICING.make_placed(_placement([0, 1, 2, 3], tasks), "NextStep")
    assert np.array_equal(same.reset()[0], after.reset()[0])
    for step in range(40):
        obs, reward, _, truncated, infos = same.step(actions[step])
        last, later_reward, _, ended, later = after.step(actions[step])
        assert np.array_equal(reward, later_reward) and np.array_equal(truncated, ended)
        assert np.array_equal(infos["loss_rate"], later["loss_rate"])
        if truncated.any():
            assert (step + 1) % 12 == 0 and truncated.all() and infos["_final_obs"].all()
            assert np.array_equal(infos["final_obs"], last)
            last, nothing, _, ended, later = after.step(actions[step])
            assert not nothing.any() and not ended.any() and not later["_loss_rate"].any()
        assert np.array_equal(obs, last)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_state_resumes_bit_for_bit(mode):
    tasks = _tasks()
    actions = np.random.default_rng(2).integers(0, 36, (STEPS, 8))
    env = SLICING.make_placed(_placement(range(8), tasks), mode)
    env.reset()
    for step in actions[:13]:
        env.step(step)
    state = env.get_state()
    expected = [env.step(step) for step in actions[13:]]
    fresh = SLICING.make_placed(_placement(range(8), tasks), mode)
    fresh.reset(seed=99)
    fresh.step(actions[0])
    fresh.set_state(state)
    for step, (obs, reward, _, truncated, infos) in zip(actions[13:], expected, strict=True):
        again = fresh.step(step)
        assert np.array_equal(obs, again[0]) and np.array_equal(reward, again[1])
        assert np.array_equal(truncated, again[3])
        assert np.array_equal(infos["throughput_mbps"], again[4]["throughput_mbps"])


def test_state_of_another_size_is_refused():
    state = SLICING.make_vec([SLICING.task()], 2).get_state()
    with pytest.raises(InputError, match="of another shape"):
        SLICING.make_vec([SLICING.task()], 3).set_state(state)


def test_reset_numbers_episodes_and_starts_the_masked_rows_alone():
    env = SLICING.make_vec([SLICING.task(config=CONFIG)], 2, seed=4)
    first, _ = env.reset()
    second, _ = env.reset()
    assert not np.array_equal(first, second)
    assert np.array_equal(env.reset(options={"episode": 0})[0], first)
    assert np.array_equal(env.reset(options={"episode": 1})[0], second)
    stepped = env.step(np.zeros(2, np.int64))[0]
    masked, _ = env.reset(seed=4, options={"reset_mask": np.array([True, False])})
    assert np.array_equal(masked[0], first[0]) and np.array_equal(masked[1], stepped[1])
    with pytest.raises(InputError, match="episode, reset_mask"):
        env.reset(options={"epsiode": 1})


def test_tasks_given_later_begin_with_the_next_episode():
    config = {"episode_windows": 5}
    easy, hard = SLICING.task({}, config), SLICING.task({"prb": 25}, config)
    actions = np.full((10, 2), 20)
    expected = _run(SLICING.make_vec([easy], 2, seed=1), actions)
    env = SLICING.make_vec([easy], 2, seed=1)
    env.reset()
    env.step(actions[0])
    env.set_tasks([hard, hard])
    for step in range(1, 5):
        assert env.current_tasks() == [easy, easy]
        obs, reward, _, truncated, _ = env.step(actions[step])
        assert np.array_equal(reward, expected[1][step])
    assert truncated.all() and env.current_tasks() == [hard, hard]
    assert not np.array_equal(obs, expected[0][5])
    with pytest.raises(InputError, match="another family config"):
        env.set_tasks([SLICING.task()] * 2)


@pytest.mark.parametrize("actions", [np.array([0, 36]), np.array([-1, 0]), np.zeros(3, np.int64)])
def test_an_action_outside_the_space_is_refused(actions):
    env = SLICING.make_vec([SLICING.task()], 2)
    env.reset()
    with pytest.raises(InputError, match="below 36"):
        env.step(actions)


def test_step_before_reset_is_refused():
    with pytest.raises(InputError, match="reset"):
        SLICING.make_vec([SLICING.task()], 2).step(np.zeros(2, np.int64))


def test_tasks_of_different_configs_do_not_share_an_environment():
    with pytest.raises(InputError, match="different configs"):
        SLICING.make_vec([SLICING.task(), SLICING.task(config=CONFIG)])
