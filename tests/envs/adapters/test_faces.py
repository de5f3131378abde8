"""Spaces: flat observations, joint actions, and refusals that say what would do."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.adapters.config import read_config
from roamrl.envs.adapters.faces import make_face
from roamrl.envs.errors import InputError

COUNTER = {"make": "pocket_envs:Counter", "max_episode_steps": 8}
ANY = read_config({"make": "x"})
BOX = spaces.Box(-1, 1, (2,), np.float32)


def test_a_dict_is_seen_as_one_vector():
    observation, action = GYMNASIUM.spaces(GYMNASIUM.config(COUNTER))
    assert (observation.shape, observation.dtype, action) == ((5,), np.float32, spaces.Discrete(6))
    env = GYMNASIUM.make(GYMNASIUM.task(config=COUNTER))
    obs, _ = env.reset()
    assert observation.contains(obs)
    np.testing.assert_array_equal(obs[2:], [1, 0, 0])  # keys in order: noise, then place as one of three
    np.testing.assert_array_equal(env.step(0)[0][2:], [0, 1, 0])


def test_every_joint_action_is_one_choice_and_back():
    env = GYMNASIUM.make(GYMNASIUM.task(config=COUNTER))
    rewards = []
    for choice in range(6):
        env.reset()
        rewards.append(env.step(choice)[1])
    assert rewards == [11, 12, 13, 21, 22, 23]


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete([2, 3], start=[1, 5]), spaces.MultiDiscrete([[2, 2], [3, 1]]), spaces.MultiBinary(4)]
)
def test_choices_and_actions_correspond(space):
    face = make_face(ANY, BOX, space)
    assert isinstance(face.action, spaces.Discrete)
    actions = [face.to_inner(choice) for choice in range(face.action.n)]
    assert all(space.contains(action) for action in actions)
    assert [int(face.from_inner(action)) for action in actions] == list(range(face.action.n))
    assert len({action.tobytes() for action in actions}) == face.action.n


def test_boxes_and_discrete_actions_stay_what_they_are():
    for space in (spaces.Box(-2, 2, (3,), np.float32), spaces.Discrete(4, start=2)):
        assert make_face(ANY, BOX, space).action == space


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (BOX, spaces.MultiDiscrete([8] * 5), "32768 joint actions"),
        (BOX, spaces.Text(4), "known: Discrete, MultiDiscrete"),
        (BOX, spaces.Box(0, 3, (2,), np.int64), "Box of floats"),
        (spaces.Sequence(BOX), spaces.Discrete(2), "no flat form"),
    ],
)
def test_spaces_without_a_place_are_refused(observation, action, message):
    with pytest.raises(InputError, match=message):
        make_face(ANY, observation, action)


def test_a_context_that_changes_the_spaces_is_refused():
    wide = {**COUNTER, "context": {"wide": {"set": "kwarg", "default": False, "train": {"choose": [False, True]}}}}
    env = GYMNASIUM.make(GYMNASIUM.task({"wide": True}, wide))
    with pytest.raises(InputError, match="Tasks of a family share spaces"):
        env.reset()
