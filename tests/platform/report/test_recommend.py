"""The expert to deploy is the best on val, and how sure that is, is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.recommend import recommend

MakeRun = Callable[..., Path]


def rewrite(folder: Path, change: Callable[[dict], dict | None]) -> Path:
    table = pq.read_table(folder / "results.parquet")
    rows = [new for row in table.to_pylist() if (new := change(row)) is not None]
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    return folder


def only(arm: str) -> Callable[[dict], dict | None]:
    return lambda row: None if row["expert_id"] and row["arm"] != arm else row


def test_the_best_expert_on_val_is_recommended_and_surely(make_run: MakeRun) -> None:
    choice = recommend(rewrite(make_run(seeds=2, curves=False, val_tasks=6), only("reuse")))
    # Experts of reuse score 0.50, 0.55, 0.60, 0.65 on val, with less noise than these steps.
    assert (choice.arm, choice.seed, choice.candidates, choice.tasks) == ("reuse", 3, 4, 6)
    assert choice.expert_id == b"reuse-3".hex().ljust(64, "0")
    assert choice.score.value == pytest.approx(0.65, abs=0.01)
    assert choice.runner_up is not None and choice.runner_up.seed == 2
    assert choice.sureness is not None
    assert (choice.sureness.value, choice.sureness.low) == (1.0, 1.0)
    assert "sure on these tasks" in choice.text
    assert choice.expert_id in choice.text


def test_two_tasks_won_are_not_called_sure(make_run: MakeRun) -> None:
    choice = recommend(rewrite(make_run(seeds=2, curves=False, val_tasks=2), only("reuse")))
    assert choice.sureness is not None and choice.sureness.value == 1.0
    assert "likely, but more tasks are needed to be sure" in choice.text


def test_two_equal_experts_are_said_to_be_close(make_run: MakeRun) -> None:
    scores = {("reuse", 3): [0.7, 0.5, 0.7, 0.5], ("reuse", 2): [0.5, 0.69, 0.5, 0.69]}

    def even(row: dict) -> dict | None:
        if not row["expert_id"] or row["split"] != "val":
            return row
        values = scores.get((row["arm"], row["seed"]))
        return row | {"score": values[int(row["task_name"][-1])]} if values else None

    choice = recommend(rewrite(make_run(seeds=2, curves=False), even))
    assert choice.seed == 3
    assert choice.sureness is not None
    assert choice.sureness.value == 0.5
    assert "not sure, either will do" in choice.text


def test_targets_play_no_part_in_the_choice(make_run: MakeRun) -> None:
    def spoil(row: dict) -> dict:
        return row | {"score": -1.0} if row["expert_id"] and row["split"] != "val" else row

    choice = recommend(rewrite(make_run(seeds=2, curves=False), spoil))
    assert choice.score.value == pytest.approx(0.65, abs=0.01)
    assert choice.elsewhere == {"different": -1.0, "similar": -1.0}


def test_a_classical_policy_that_is_better_is_a_caution(make_run: MakeRun) -> None:
    choice = recommend(make_run(seeds=2, curves=False, classical=0.9))
    assert choice.classical == pytest.approx(0.9)
    assert "CAUTION: the tuned classical policy scores 0.90" in choice.text


def test_an_expert_scored_on_fewer_val_tasks_is_left_out_and_counted(make_run: MakeRun) -> None:
    def cut(row: dict) -> dict | None:
        best = row["expert_id"] and (row["arm"], row["seed"]) == ("reuse", 3)
        return None if best and row["task_name"] == "val-0" else row

    folder = rewrite(rewrite(make_run(seeds=2, curves=False), only("reuse")), cut)
    choice = recommend(folder)
    assert choice.seed == 2
    assert "1 expert was scored on fewer validation tasks and left out" in choice.text


def test_one_val_task_has_no_interval(make_run: MakeRun) -> None:
    choice = recommend(make_run(seeds=2, curves=False, val_tasks=1))
    assert not choice.score.has_interval
    assert choice.sureness is not None and np.isnan(choice.sureness.low)
    assert "one task cannot tell" in choice.text


def test_a_run_without_experts_has_nothing_to_recommend(make_run: MakeRun) -> None:
    folder = rewrite(make_run(seeds=2, curves=False), lambda row: row | {"expert_id": None})
    with pytest.raises(InputError, match="nothing to recommend"):
        recommend(folder)
