"""What policies read beside the observation: in which order, of which actions, and as JSON."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.feedback import Feedback, action_numbers, raw_columns, with_feedback
from roamrl.envs.errors import InputError

FLAT = spaces.Box(-1.0, 1.0, (2,))


def make_spec(space=None, **extras):
    return ModuleSpec("mlp", FLAT, space or spaces.Discrete(3, start=5), {}, Extras(**extras))


@pytest.mark.parametrize(
    ("space", "actions", "numbers"),
    [
        (spaces.Discrete(3, start=5), np.array([[7, 5]]), [[[0, 0, 1], [1, 0, 0]]]),
        (
            spaces.MultiBinary((2, 2)),
            np.array([[[[1, 0], [0, 1]], [[0, 0], [0, 0]]]], np.int8),
            [[[1, 0, 0, 1], [0] * 4]],
        ),
        (spaces.Box(-2.0, 2.0, (2,)), np.array([[[0.5, -2.0], [0.0, 1.0]]]), [[[0.5, -2.0], [0.0, 1.0]]]),
    ],
)
def test_actions_are_fed_back_as_numbers(space, actions, numbers):
    spec = with_feedback(make_spec(space))
    feedback = Feedback(spec, (1, 2))
    assert spec.input_shape == (2 + action_numbers(space) + 2,)
    np.testing.assert_array_equal(feedback.columns, 0.0)
    feedback.take(actions, np.array([[0.25, -1.0]]))
    np.testing.assert_array_equal(feedback.columns[..., :-2], numbers)
    np.testing.assert_array_equal(feedback.columns[..., -2:], [[[0.25, 0.0], [-1.0, 0.0]]])


def test_an_end_is_told_and_a_trials_end_forgotten_noise_stays():
    feedback = Feedback(with_feedback(make_spec(), noise=2), (1, 3))
    feedback.noise[...] = np.arange(6).reshape(1, 3, 2)
    feedback.take(np.array([[5, 6, 7]]), np.array([[1.0, 2.0, 3.0]]))
    feedback.mark(np.array([[True, True, False]]), np.array([[False, True, False]]))
    expected = [[1, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 2, 3], [0, 0, 1, 3, 0, 4, 5]]
    np.testing.assert_array_equal(feedback.columns[0], expected)
    feedback.begin()
    np.testing.assert_array_equal(feedback.columns[..., :5], 0.0)
    np.testing.assert_array_equal(feedback.noise, np.arange(6).reshape(1, 3, 2))


def test_bits_and_noise_are_raw_and_rewards_and_tasks_are_not():
    told = {"task": "context", "contexts": 2}
    spec = with_feedback(make_spec(**told), noise=1, trial_episodes=3)
    assert spec.extras == Extras(**told, feedback=True, actions=3, noise=1, trial_episodes=3)
    assert raw_columns(spec).astype(int).tolist() == [0, 0, 1, 1, 1, 0, 1, 1, 0, 0]
    box = with_feedback(make_spec(spaces.Box(-1.0, 1.0, (2,))))
    assert raw_columns(box).astype(int).tolist() == [0, 0, 0, 0, 0, 1]
    assert not raw_columns(make_spec(**told)).any()


@pytest.mark.parametrize(
    "extras", [Extras(), Extras("number"), Extras("context", 4), Extras(feedback=True, actions=3, trial_episodes=7)]
)
def test_extras_are_json_both_ways(extras):
    again = Extras.from_json(json.loads(json.dumps(extras.to_json())))
    assert again == extras
    assert Extras().to_json() == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"feedbak": True}, "did you mean 'feedback'"),
        ({"feedback": 1}, "true or false"),
        ({"feedback": True}, "do not go together"),
        ({"actions": 3}, "do not go together"),
        ({"noise": -1}, "whole number"),
        ({"noise": 2.0}, "whole number"),
        ({"trial_episodes": 0}, "at least one episode"),
        ({"contexts": True}, "whole number"),
    ],
)
def test_senseless_extras_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        Extras.from_json(value)


def test_feedback_needs_flat_observations_and_actions_it_knows():
    with pytest.raises(InputError, match="flat observations"):
        with_feedback(ModuleSpec("mlp", spaces.Box(-1.0, 1.0, (2, 3)), spaces.Discrete(2)))
    with pytest.raises(InputError, match="cannot be fed back"):
        with_feedback(make_spec(spaces.MultiDiscrete([2, 3])))
    with pytest.raises(InputError, match="fed back as 3 numbers"):
        Feedback(make_spec(feedback=True, actions=2), (1, 1))
