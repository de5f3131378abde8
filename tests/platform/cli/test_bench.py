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
