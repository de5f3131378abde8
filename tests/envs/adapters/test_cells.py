"""Rows of an environment from elsewhere: independent of each other, resumed where they were, ended as declared."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.placement import Placement

COUNTER = {"make": "pocket_envs:Counter", "max_episode_steps": 8, "context": {"goal": {"set": "kwarg", "default": 5}}}
TASKS = GYMNASIUM.splits(GYMNASIUM.config())["train"].tasks[:3]


def placed(seeds=(5, 9), envs=2, config_tasks=TASKS, mode="SameStep"):
    return GYMNASIUM.make_placed(Placement.members([config_tasks, config_tasks[:1]], seeds, envs), mode)


def played(env, steps, seed=0):
    rng = np.random.default_rng(seed)
    env.reset()
    actions = rng.integers(2, size=(steps, 4))
    return [env.step(actions[step, : env.num_envs]) for step in range(steps)]


def test_a_batch_equals_its_rows_alone_bit_for_bit():
    together = played(placed(), 120)
    for row, (member, index) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        placement = Placement(np.array([(5, 9)[member]]), np.array([index]), (TASKS if member == 0 else TASKS[:1],), 2)
        alone = GYMNASIUM.make_placed(placement)
        alone.reset()
        actions = np.random.default_rng(0).integers(2, size=(120, 4))[:, row]
        for step, action in enumerate(actions):
            found = alone.step(np.array([action]))
            for mine, theirs in zip(found[:4], together[step][:4], strict=True):
                np.testing.assert_array_equal(mine[0], theirs[row])


def test_rows_go_round_their_tasks_and_say_in_what_they_ended():
    env = placed()
    env.reset()
    seen = [[] for _ in range(4)]
    for _ in range(150):
        playing = env.current_tasks()
        obs, _, terminated, truncated, infos = env.step(np.ones(4, np.int64))
        for row in np.flatnonzero(terminated | truncated):
            seen[row].append(playing[row])
            assert abs(infos["final_obs"][row][2]) > 0.2 > abs(obs[row][2])
    for row, tasks in enumerate(seen):
        assert len(tasks) > 5
        assert tasks == [env.placement.task(row, episode) for episode in range(len(tasks))]


def test_next_step_autoreset_ignores_one_action_and_disabled_rows_wait():
    env = placed(mode=AutoresetMode.NEXT_STEP)
    env.reset()
    while not (ended := env.step(np.ones(4, np.int64))[2]).any():
        pass
    obs, rewards, terminated, _, _ = env.step(np.ones(4, np.int64))
    assert (rewards[ended] == 0.0).all() and not terminated[ended].any()
    assert (np.abs(obs[ended]) < 0.06).all()
    env = placed(mode=AutoresetMode.DISABLED)
    env.reset()
    for _ in range(40):
        obs, rewards, *_ = env.step(np.ones(4, np.int64))
    np.testing.assert_array_equal(rewards, 0.0)
    np.testing.assert_array_equal(obs, env.step(np.zeros(4, np.int64))[0])


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_kept_state_goes_on_as_if_nothing_had_happened(mode):
    env = placed(mode=mode)
    played(env, 37)
    state = env.get_state()
    rest = [env.step(np.full(4, step % 2)) for step in range(60)]
    other = placed(mode=mode)
    other.set_state(state)
    for step, wanted in enumerate(rest):
        for mine, theirs in zip(other.step(np.full(4, step % 2))[:4], wanted[:4], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_state_that_cannot_be_played_again_is_said_so():
    config = {"make": "pocket_envs:Unseeded", "max_episode_steps": 9, "repeatable": False}
    env = GYMNASIUM.make_vec([GYMNASIUM.task(config=config)], 2)
    env.reset()
    env.step(np.zeros(2, np.int64))
    with pytest.warns(UserWarning, match="no function of its seed"):
        env.set_state(env.get_state())


def test_processes_give_what_one_process_gives():
    config = GYMNASIUM.config({**COUNTER, "async_rows": 4})
    beside = GYMNASIUM.config({**COUNTER, "async_rows": 0})
    rows = []
    for each in (config, beside):
        env = GYMNASIUM.make_vec([GYMNASIUM.task({"goal": goal}, each) for goal in (3, 4)], 2, seed=1)
        env.reset()
        steps = [env.step(np.array([step % 6, 5])) for step in range(9)]
        state = env.get_state()
        env.step(np.array([1, 2]))
        env.set_state(state)
        steps.append(env.step(np.array([3, 3])))
        env.close()
        rows.append(steps)
    for mine, theirs in zip(*rows, strict=True):
        for one, other in zip(mine[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(one, other)


def test_constructor_arguments_reach_the_environment():
    full = GYMNASIUM.config(COUNTER)
    env = GYMNASIUM.make_vec([GYMNASIUM.task({"goal": goal}, full) for goal in (2, 7)])
    env.reset()
    ends = [env.step(np.array([0, 0]))[2].tolist() for _ in range(7)]
    assert [end[0] for end in ends] == [False, True, False, True, False, True, False]
    assert [end[1] for end in ends] == [False] * 6 + [True]


def test_continuous_actions_are_passed_on_and_kept():
    gravity = {"at": "g", "train": [8, 12]}
    config = {"make": "Pendulum-v1", "max_episode_steps": 30, "context": {"gravity": gravity}}
    tasks = [GYMNASIUM.task({"gravity": value}, config) for value in (8, 12)]
    actions = np.random.default_rng(0).uniform(-2, 2, (70, 2, 1)).astype(np.float32)
    env = GYMNASIUM.make_vec(tasks, seed=2)
    env.reset()
    steps = [env.step(pair) for pair in actions[:40]]
    assert [step for step in range(40) if steps[step][3].any()] == [29]
    hand = gymnasium.make("Pendulum-v1", g=12.0)
    hand.reset(seed=int(np.random.SeedSequence((2, 0, 1)).generate_state(1)[0]))
    for step in range(30):
        obs, reward, *_ = hand.step(actions[step, 1])
        assert reward == steps[step][1][1]
    np.testing.assert_array_equal(obs, steps[29][4]["final_obs"][1])
    other = GYMNASIUM.make_vec(tasks, seed=2)
    other.set_state(env.get_state())
    for pair in actions[40:]:
        for mine, theirs in zip(other.step(pair)[:4], env.step(pair)[:4], strict=True):
            np.testing.assert_array_equal(mine, theirs)
