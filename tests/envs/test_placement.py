"""Which task every sub-environment plays in which episode."""

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.slicing import SLICING
from roamrl.envs.task import Task


def tasks(count):
    return tuple(Task("f-v1", {}, {"load": number}) for number in range(count))


@pytest.mark.parametrize("repeat", [1, 2, 5])
@pytest.mark.parametrize("envs", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_members_go_round_their_pools_staying_on_each_task_as_often_as_asked(repeat, envs, count):
    pools = (tasks(count), tuple(reversed(tasks(count))))
    placement = Placement.members(pools, [1, 2], envs, repeat)
    for row in range(2 * envs):
        pool, index = pools[row // envs], row % envs
        assert (placement.seeds[row], placement.indices[row]) == (row // envs + 1, index)
        for episode in range(3 * repeat * count + 1):
            assert placement.task(row, episode) == pool[(index + episode // repeat * envs) % count]


def test_a_task_played_once_at_a_time_is_placed_as_ever():
    pools = (tasks(3), tasks(2))
    placement = Placement.members(pools, [1, 2], 2)
    assert placement.pools == (pools[0], pools[0], pools[1], pools[1])
    assert placement.stride == 2


def test_an_environment_repeats_tasks_and_not_their_streams():
    pool = SLICING.sample(3, 0, config={"episode_windows": 2})
    env = SLICING.make_placed(Placement.members([pool], [7], 2, 2))
    once = SLICING.make_placed(Placement.members([pool[:1]], [7], 2))
    actions = np.zeros(2, np.int64)
    env.reset(options={"episode": 6})
    once.reset(options={"episode": 6})
    for episode in range(6, 12):
        assert env.current_tasks() == [pool[(index + episode // 2 * 2) % 3] for index in range(2)]
        if env.current_tasks()[0] == pool[0]:
            np.testing.assert_array_equal(env.step(actions)[1][0], once.step(actions)[1][0])
            env.step(actions), once.step(actions)
        else:
            for _ in range(2):
                env.step(actions), once.step(actions)


def test_a_task_is_played_at_least_once():
    with pytest.raises(InputError, match="at least one episode"):
        Placement.members([tasks(1)], [1], 1, 0)
