"""The batch of mac-v1: equal to its cells alone bit for bit, whatever the grouping; autoreset, state, tasks, faces."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

Array = np.ndarray[Any, Any]

CONFIG = {"n_max": 6, "episode_slots": 120, "history": 3, "fairness": 0.3}
STEPS = 60
JUMPS = {"mean_gap": 40, "stations": [2, 3, 6]}


def contexts() -> list[dict[str, Any]]:
    return [
        {"stations": 3, "load": 0.9},
        {"stations": 6, "arrival": "bursts", "load": 1.5},
        {"stations": 4, "arrival": "periodic", "packet_slots": 4},
        {"stations": 2, "arrival": "saturated", "dynamic": JUMPS},
        {"stations": 5, "load": 2.0, "dynamic": {"slots": [30, 70], "stations": [1, 6]}},
    ]


def tasks(config: dict[str, Any] = CONFIG) -> list[Task]:
    return [MAC.task(context, config) for context in contexts()]


def placement(rows: Any, pool: list[Task]) -> Placement:
    """Place rows of two members (seeds 5 and 8); row number r means member r // 4, index r % 4."""
    pools = tuple((pool[row % 5], pool[(row + 2) % 5]) for row in rows)
    seeds = np.array([5 if row < 4 else 8 for row in rows], np.int64)
    return Placement(seeds, np.array([row % 4 for row in rows], np.int64), pools, 4)


def run(env: Any, actions: Array) -> list[Array]:
    frames, rest = [env.reset()[0]], []
    for step in actions:
        obs, reward, terminated, truncated, infos = env.step(step)
        frames.append(obs)
        measures = [infos[name] for name in MAC.measures]
        rest.append(np.stack([reward, truncated, env.durations, *measures]))
        assert not terminated.any()
    return [np.array(frames), np.array(rest)]


def draw(rows: int, steps: int = STEPS, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).random((steps, rows, 6)) < 0.25).astype(np.int8)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5, 6, 7], [7, 2, 5, 0], [6]])
def test_a_batch_equals_its_cells_alone_bit_for_bit(rows: list[int]) -> None:
    actions = draw(8)
    frames, rest = run(MAC.make_placed(placement(rows, tasks())), actions[:, rows])
    assert rest[:, 1].any()
    for column, row in enumerate(rows):
        alone = run(MAC.make_placed(placement([row], tasks())), actions[:, [row]])
        assert np.array_equal(frames[:, column], alone[0][:, 0])
        assert np.array_equal(rest[:, :, column], alone[1][:, :, 0])


def test_the_scalar_face_equals_its_row() -> None:
    actions = draw(3, 10)
    task = tasks()[1]
    frames, rest = run(MAC.make_vec([task], 3, seed=6), actions)
    cell = MAC.make(task, seed=6, index=2)
    assert np.array_equal(cell.reset()[0], frames[0, 2])
    for step in range(10):
        obs, reward, _, _, _ = cell.step(actions[step, 2])
        assert np.array_equal(obs, frames[step + 1, 2]) and reward == rest[step, 0, 2]


def test_the_next_observation_depends_on_the_action() -> None:
    env = MAC.make_vec([tasks()[3]], 4, seed=3)
    env.reset()
    state = env.get_state()
    first = env.step(np.zeros((4, 6), np.int8))[0]
    env.set_state(state)
    second = env.step(np.eye(6, dtype=np.int8)[[0, 1, 0, 1]])[0]
    assert (np.abs(first - second).max(axis=(1, 2)) > 0.5).all()


def test_contexts_are_compared_on_common_random_numbers() -> None:
    """The same arrivals, twice as far apart at half the load."""
    envs = [MAC.make_vec([MAC.task({"load": load}, {"queue_packets": 50})], 3, seed=4) for load in (0.8, 0.4)]
    for env in envs:
        env.reset()
    times = [env.state.stations["next_arrival"][:, :5] for env in envs if isinstance(env, MACEnv)]
    np.testing.assert_allclose(times[1], 2.0 * times[0])


def test_same_step_and_next_step_tell_the_same_story() -> None:
    actions = draw(4, 250, seed=1)
    same = MAC.make_placed(placement([0, 1, 2, 3], tasks()), "SameStep")
    after = MAC.make_placed(placement([0, 1, 2, 3], tasks()), "NextStep")
    shown, later = same.reset()[0], after.reset()[0]
    waiting = np.zeros(4, np.bool_)
    cursor, stories = [0] * 4, ([[] for _ in range(4)], [[] for _ in range(4)])
    for step in range(200):
        obs, reward, _, truncated, infos = same.step(actions[step])
        last = np.where(truncated[:, None, None], infos.get("final_obs", obs), obs)
        for row in range(4):
            stories[0][row].append((reward[row], last[row].tobytes(), bool(truncated[row])))
    for _ in range(240):
        turn = np.stack([actions[min(cursor[row], 249), row] for row in range(4)])
        later, reward, _, truncated, infos = after.step(turn)
        for row in range(4):
            if waiting[row]:
                assert reward[row] == 0 and not truncated[row] and not infos["_jain"][row]
                assert after.durations is not None and after.durations[row] == 0 and infos["jain"][row] == 0
            else:
                stories[1][row].append((reward[row], later[row].tobytes(), bool(truncated[row])))
                cursor[row] += 1
        waiting = truncated
    assert shown.shape == (4, 6, 17)
    for first, second in zip(*stories, strict=True):
        shared = min(len(first), len(second))
        assert shared >= 190 and first[:shared] == second[:shared] and sum(entry[2] for entry in first) >= 2


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_state_resumes_bit_for_bit(mode: str) -> None:
    actions = draw(8, seed=2)
    env = MAC.make_placed(placement(range(8), tasks()), mode)
    env.reset()
    for step in actions[:13]:
        env.step(step)
    state = env.get_state()
    expected = [env.step(step) for step in actions[13:]]
    fresh = MAC.make_placed(placement(range(8), tasks()), mode)
    fresh.reset(seed=99)
    fresh.step(actions[0])
    fresh.set_state(state)
    for step, (obs, reward, _, truncated, infos) in zip(actions[13:], expected, strict=True):
        again = fresh.step(step)
        assert np.array_equal(obs, again[0]) and np.array_equal(reward, again[1])
        assert np.array_equal(truncated, again[3]) and np.array_equal(infos["delay_p99"], again[4]["delay_p99"])


def test_an_ended_row_stands_still_until_it_is_reset() -> None:
    task = MAC.task({"stations": 2, "arrival": "saturated"}, {**CONFIG, "episode_slots": 4})
    env = MAC.make_vec([task], 2, autoreset_mode="Disabled")
    env.reset()
    for step in range(4):
        obs, _, _, truncated, _ = env.step(np.array([[1] + [0] * 5, [0] * 6], np.int8))
        assert truncated.tolist() == [step == 0, step == 3]
    assert isinstance(env, MACEnv) and env.state.cells["epochs"].tolist() == [1, 4]
    again, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert env.state.cells["time"].tolist() == [0, 4] and np.array_equal(again[1], obs[1])


def test_tasks_given_later_begin_with_the_next_episode() -> None:
    few, many = MAC.task({"stations": 2}, CONFIG), MAC.task({"stations": 6}, CONFIG)
    env = MAC.make_vec([few], 2, seed=1)
    env.reset()
    env.set_tasks([many, many])
    present = [env.step(np.zeros((2, 6), np.int8))[0][:, :, 0].sum(axis=1) for _ in range(120)]
    assert (np.array(present[:119]) == 2).all() and (present[119] == 6).all()


def test_tasks_of_different_configs_do_not_share_an_environment() -> None:
    with pytest.raises(InputError, match="different configs"):
        MAC.make_vec([MAC.task(), MAC.task(config=CONFIG)])


@pytest.mark.parametrize("config", [{}, {"n_max": 4, "others_d2lt": "longest", "history": 2}])
def test_gymnasium_finds_nothing_wrong_with_a_cell(config: dict[str, Any], recwarn: Any) -> None:
    env = gymnasium.make("roamrl/Mac-v1", config=config, context={"stations": 3})
    check_env(env.unwrapped, skip_render_check=True)
    assert not [message for message in map(lambda w: str(w.message), recwarn) if "WARN" in message]


def test_gymnasium_makes_batches() -> None:
    env = gymnasium.make_vec("roamrl/Mac-v1", num_envs=3, context={"load": 0.5}, seed=7)
    assert isinstance(env.unwrapped, MACEnv)
    env.reset()
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    assert env.single_observation_space.shape == (40, 42)
