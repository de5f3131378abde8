from __future__ import annotations

import json
import math

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.cli.settings import parse_settings
from roamrl.platform.cli.tables import count, duration, number, print_json, size


def test_settings_are_yaml_values_at_dotted_places() -> None:
    found = parse_settings(["prb=106", "layers=trunk", "a.b=[1, 2]", "a.c=true", "empty="], "--config")
    assert found == {"prb": 106, "layers": "trunk", "a": {"b": [1, 2], "c": True}, "empty": None}
    assert parse_settings(None, "--config") == {}


@pytest.mark.parametrize("pair", ["prb", "=3", "a.=3", "x=[1"])
def test_a_setting_of_another_form_is_a_mistake(pair: str) -> None:
    with pytest.raises(InputError, match="--config"):
        parse_settings([pair], "--config")


def test_a_value_cannot_become_a_group() -> None:
    with pytest.raises(InputError, match="value before"):
        parse_settings(["a=1", "a.b=2"], "--config")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (12_345, "12.3 k"), (1_500_000, "1.5 M"), (2e9, "2 G")]
)
def test_counts_are_short(value: float, text: str) -> None:
    assert count(value) == text
    assert len(size(value)) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (4_800, "80 min"), (7_260, "2 h 01 min")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_that_are_not_finite_are_dashes_and_null(capsys: pytest.CaptureFixture[str]) -> None:
    assert number(math.nan) == "-"
    assert number(0.12345) == "0.123"
    print_json({"a": math.nan, "b": [1.0, math.inf], "c": (True, None)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.0, None], "c": [True, None]}
