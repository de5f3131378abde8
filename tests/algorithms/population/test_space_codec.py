"""Spaces survive JSON; what is not a space is refused."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.space_codec import LARGEST_SPACE, space_from_json, space_to_json
from roamrl.envs.canonical import canonical_json
from roamrl.envs.errors import InputError

SPACES = [
    spaces.Discrete(7),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([3, 4, 5], start=[1, 0, 2]),
    spaces.MultiBinary(6),
    spaces.MultiBinary([2, 3]),
    spaces.Box(-np.inf, np.inf, (4,), np.float32),
    spaces.Box(0, 255, (2, 3), np.uint8),
    spaces.Box(-np.inf, np.inf, (40, 42), np.float32),
    spaces.Box(np.zeros((3, 2), np.float32), np.array([[1.0, np.inf]] * 3, np.float32)),
    spaces.Box(np.array([0.1, -np.inf], np.float32), np.array([np.inf, 2.7], np.float32)),
    spaces.Box(-(2**62), 2**62 + 1, (2,), np.int64),
    spaces.Box(-1e-30, 1.0, (), np.float64),
    spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(4)])}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_survives_canonical_json(space):
    value = space_to_json(space)
    if "int64" not in str(value):  # whole numbers above 2^53 have no canonical form
        assert space_from_json(json.loads(canonical_json(value))) == space
    again = space_from_json(json.loads(json.dumps(value)))
    assert again == space
    assert again.dtype == space.dtype


def nested(depth):
    value = {"type": "Discrete", "n": 2, "start": 0}
    for _ in range(depth):
        value = {"type": "Tuple", "spaces": [value]}
    return value


BOX = {"type": "Box", "shape": [2], "dtype": "float32", "low": -1.0, "high": 1.0}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "not a space"),
        ({}, "not a space"),
        ({"type": "Discret"}, "did you mean 'Discrete'"),
        ({"type": "Discrete"}, "KeyError"),
        ({"type": "Discrete", "n": 0, "start": 0}, "size must lie"),
        ({"type": "Discrete", "n": True, "start": 0}, "whole number"),
        ({"type": "Discrete", "n": LARGEST_SPACE + 1, "start": 0}, "size must lie"),
        ({"type": "MultiDiscrete", "nvec": [2.5], "start": [0]}, "whole numbers"),
        ({"type": "MultiDiscrete", "nvec": [], "start": []}, "MultiDiscrete"),
        ({**BOX, "shape": [1 << 19, 1 << 19]}, "axes"),
        ({**BOX, "shape": [1] * 9}, "axes"),
        ({**BOX, "dtype": "object"}, "unknown dtype"),
        ({**BOX, "low": float("nan")}, "bounds"),
        ({**BOX, "low": "minus"}, "KeyError"),
        ({**BOX, "low": [0.0, 0.0, 0.0]}, "ValueError"),
        ({**BOX, "dtype": "uint8", "low": -1}, "OverflowError"),
        ({"type": "Dict", "spaces": 3}, "AttributeError"),
        ({"type": "Tuple", "spaces": [{**BOX, "shape": [1 << 19]}] * 3}, "numbers in all"),
        (nested(5), "deeper"),
    ],
)
def test_what_is_no_space_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        space_from_json(value)


def test_nesting_within_the_limit_is_read():
    assert space_to_json(space_from_json(nested(4))) == nested(4)


def test_spaces_outside_the_list_are_not_written():
    with pytest.raises(InputError, match="no JSON form"):
        space_to_json(spaces.Text(5))
