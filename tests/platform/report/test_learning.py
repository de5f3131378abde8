"""Learning on several tasks: curves by task against a table whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.learning import LearningCurve, learning_curves, learning_row
from roamrl.platform.report.page import write_report
from roamrl.platform.report.run_data import read_run
from roamrl.platform.study.results import LEARNING

MakeRun = Callable[..., Path]
TRIVIAL, ORACLE, STEPS = 10.0, 30.0, 20
EXPERTS = [f"joint-{number}".encode().hex().ljust(64, "0") for number in range(2)]


def task_id(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def write_learning(folder: Path, scores: dict[str, float], experts: list[str] = EXPERTS, **change: Any) -> Path:
    """Task by task, two policies rise to a score of their task, the second .1 above the first at every step."""
    rows: list[dict[str, Any]] = [
        {
            "unit": "u",
            "arm": "joint",
            "strategy": "joint",
            "seed": number,
            "expert_id": expert,
            "iteration": at,
            "env_steps": 1000 * at,
            "task_id": task_id(name),
            "task_name": name,
            "split": "sources",
            "episodes": 3,
            "return_mean": TRIVIAL + (ORACLE - TRIVIAL) * (end * at / STEPS + 0.1 * number),
            **change,
        }
        for number, expert in enumerate(experts)
        for name, end in scores.items()
        for at in range(1, STEPS + 1)
        if not (name == "similar-1" and at == 4)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=LEARNING), folder / "learning.parquet")
    return folder


FEW = {"similar-0": 0.4, "similar-1": 0.8, "different-0": -0.2}


@pytest.fixture
def folder(make_run: MakeRun) -> Path:
    return make_run(seeds=2, splits={"similar": 2, "different": 1}, curves=False)


def curves(folder: Path, *arms: str) -> list[LearningCurve]:
    run = read_run(folder)
    return learning_curves(run.only(arms) if arms else run)


def test_tasks_with_references_are_scored_and_policies_averaged(folder: Path) -> None:
    (curve,) = curves(write_learning(folder, FEW))
    assert (curve.arms, curve.tasks, curve.policies) == (("joint",), tuple(FEW), 2)
    assert curve.yardstick.top == "oracle"
    np.testing.assert_allclose(curve.env_steps, 1000.0 * np.arange(1, STEPS + 1))
    wanted = np.array([[end * at / STEPS + 0.05 for at in range(1, STEPS + 1)] for end in FEW.values()])
    wanted[1, 3] = np.nan
    np.testing.assert_allclose(curve.values, wanted, atol=1e-12)


def test_where_one_task_has_no_references_all_are_returns(folder: Path) -> None:
    (curve,) = curves(write_learning(folder, {**FEW, "elsewhere": 0.5}))
    assert (curve.yardstick.name, curve.yardstick.top) == ("return", "")
    assert curve.values[0, -1] == pytest.approx(TRIVIAL + 20.0 * 0.45)


def test_the_table_takes_the_last_tenth_and_the_quarters_of_the_tasks(folder: Path) -> None:
    scores = {f"t{number}": number / 10 for number in range(8)}
    (curve,) = curves(write_learning(folder, scores))
    row = learning_row(curve)
    ends = np.array([TRIVIAL + 20.0 * (end * (19 + 20) / 2 / STEPS + 0.05) for end in scores.values()])
    assert (row.arms, row.tasks, row.policies, row.worst_task) == ("joint", 8, 2, "t0")
    assert row.mean == pytest.approx(ends.mean())
    assert (row.worst_quartile, row.best_quartile) == pytest.approx((ends[:2].mean(), ends[-2:].mean()))


def test_arms_that_share_the_policies_share_the_curve(folder: Path) -> None:
    table = pq.read_table(folder / "results.parquet")
    twins = [
        {**row, "arm": "joint-trunk"} for row in table.to_pylist() if (row["arm"], row["stage"]) == ("joint", "adapt")
    ]
    pq.write_table(pa.concat_tables([table, table.from_pylist(twins, schema=table.schema)]), folder / "results.parquet")
    write_learning(folder, FEW)
    assert [curve.arms for curve in curves(folder)] == [("joint", "joint-trunk")]
    assert [curve.arms for curve in curves(folder, "joint-trunk")] == [("joint-trunk",)]
    assert curves(folder, "reuse") == []


def test_other_runs_have_no_curves_and_a_broken_table_says_so(folder: Path) -> None:
    assert curves(folder) == []
    write_learning(folder, FEW)
    table = pq.read_table(folder / "learning.parquet")
    pq.write_table(table.drop_columns("task_id"), folder / "learning.parquet")
    with pytest.raises(InputError, match="lacks the columns task_id"):
        curves(folder)


@pytest.mark.parametrize("tasks", [2, 24])
def test_the_page_has_the_picture_of_few_and_of_many_tasks(folder: Path, tasks: int) -> None:
    write_learning(folder, {f"t{number}": number / tasks for number in range(tasks)})
    text = write_report(folder).read_text(encoding="utf-8")
    section = text[text.index('<section id="learning">') :]
    section = section[: section.index("</section>")]
    assert f"Learning on {tasks} tasks: joint" in section
    assert section.count("<svg") == 1
    assert "<td>t0</td>" in section.replace(' class="text"', "")
    assert (folder / "report" / "learning.png").read_bytes().startswith(b"\x89PNG")
