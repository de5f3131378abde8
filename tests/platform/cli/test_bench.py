from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.platform.bench.measure import Row

ROWS = [
    Row("toy", "learned steps/s/core", "population", 52_100.0, "sb3", 5_500.0, 9.3, 7.1, 9.5, target=5.0),
    Row("start-up", "wall s, warm", "roamrl --help", 0.66, target=0.5, at_most=True),
]


PROFILE = [
    Row(
        "slicing",
        "share of a window",
        "service: packets end or come",
        0.25,
        notes={"least": 0.2, "most": 0.3, "whole_s": 24.3e-6, "calls": 214.3, "nanoseconds": 47.7},
    ),
    Row("slicing", "share of a window", "others", 0.75, notes={"least": 0.7, "most": 0.8, "whole_s": 24.3e-6}),
    Row("slicing", "events a window", "packets delivered", 80.8),
]


@pytest.fixture
def short_benchmark(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Lets ``env`` end at once, with two rows, and keeps what it was asked for."""
    from roamrl.platform.bench import run

    asked: list[object] = []

    def suite(effort: object) -> list[Row]:
        asked.append(effort)
        return ROWS

    monkeypatch.setattr(run, "SUITES", {"env": suite})
    return asked


@pytest.mark.ray
def test_bench_prints_tables_and_writes_json(
    roamrl: Callable, short_benchmark: list, tmp_path: Path, local_ray: object
) -> None:
    file = tmp_path / "bench.json"
    answer = roamrl("bench", "env", "--rounds", "2", "--json", str(file))
    assert answer.code == 0
    assert max(len(line) for line in answer.lines) <= 80
    assert "1 of 2 targets missed" in answer.out
    (effort,) = short_benchmark
    assert (effort.rounds, effort.quick, effort.family) == (2, False, "slicing-v1")
    data = json.loads(file.read_text())
    assert {"rows", "machine", "versions", "commit", "command", "date"} <= data.keys()
    assert [row["met"] for row in data["rows"]] == [True, False]
    assert data["rows"][0]["ratio_median"] == 9.3


@pytest.mark.ray
def test_a_profile_is_a_table_of_shares(
    roamrl: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local_ray: object
) -> None:
    from roamrl.platform.bench import run

    monkeypatch.setattr(run, "SUITES", {"profile": lambda effort: PROFILE})
    file = tmp_path / "profile.json"
    answer = roamrl("bench", "profile", "--json", str(file))
    assert answer.code == 0
    assert max(len(line) for line in answer.lines) <= 80
    assert "slicing: share of a window (24.3 µs)" in answer.out
    (part,) = [line for line in answer.lines if line.startswith("service: packets end or come")]
    assert part.split()[5:] == ["25.0%", "20..30", "214.3", "48", "ns", "1.33", "x"]
    rows = json.loads(file.read_text())["rows"]
    assert sum(row["value"] for row in rows if row["metric"] == "share of a window") == 1.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["spped"], "scale"),
        (["env", "--family", "slicing-v9"], "slicing-v1"),
        (["env", "--json", "/nowhere/at/all.json"], "/nowhere/at"),
        (["env", "--figure", "growth.png"], "scale"),
        (["scale", "--figure", "growth.xls"], ".png"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(arguments: list[str], named: str, roamrl: Callable) -> None:
    answer = roamrl("bench", *arguments)
    assert answer.code == 2
    assert named in answer.err
