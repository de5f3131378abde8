from __future__ import annotations

import json
from collections.abc import Callable

import pytest


def test_references_are_scored_between_trivial_and_oracle(roamrl: Callable) -> None:
    answer = roamrl("references", "slicing-v1", "--split", "val", "--first", "2", "--episodes", "2", "--json")
    assert answer.code == 0
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert rows["equal-split"]["score"] == 0.0 and rows["oracle"]["score"] == 1.0
    assert 0.0 < rows["demand"]["score"] < rows["oracle-window"]["score"] < 1.02
    assert all(row["cpu_ms"] > 0.0 for row in rows.values())
    assert all(0.0 <= row["violation_rate"] <= 1.0 for row in rows.values())


def test_the_table_fits_80_columns(roamrl: Callable) -> None:
    answer = roamrl("references", "--first", "1", "--episodes", "1")
    assert answer.code == 0 and max(len(line) for line in answer.lines) <= 80
    assert "oracle-window" in answer.out


@pytest.mark.parametrize("arguments", [["slicing-v7"], ["--split", "idd"], ["--config", "nonsense=1"]])
def test_mistakes_end_with_code_2(arguments: list[str], roamrl: Callable) -> None:
    assert roamrl("references", *arguments).code == 2
