"""Source policies that arms share: what choosing among them costs, and reports of some of the arms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from roamrl.platform.report.arms import target_views
from roamrl.platform.report.comparison import comparisons
from roamrl.platform.report.cost import CostRow, cost_rows
from roamrl.platform.report.run_data import RunData, read_run
from roamrl.platform.report.selection import source_pools

MakeRun = Callable[..., Path]
PRETRAIN, ON_TARGET, CPU, EXPERTS = 1_000_000, 2000 * 50, 100.0, 4
CHOOSE = {"reuse": "rotate", "nearest": "nearest", "best": "best-on-val", "probe": "probe", "random": "random"}


@pytest.fixture(scope="module")
def folder(make_run: MakeRun, arm_truth: Any) -> Path:
    """Arms that draw on the same four experts, whose rows stand under the first of them, reuse."""
    line = {"similar": (0.2, 0.8)}
    arms = {"scratch": arm_truth("scratch", {"similar": (0.0, 0.7)})}
    arms |= {arm: arm_truth("reuse", line, pretrain_steps=PRETRAIN, experts=EXPERTS) for arm in CHOOSE}
    folder = make_run(arms=arms, splits={"similar": 2}, seeds=4, curves=False, val_tasks=2)
    table = pq.read_table(folder / "results.parquet")
    rows = [row for row in table.to_pylist() if row["stage"] != "pretrain" or row["arm"] in ("reuse", "specialist")]
    experts = list(dict.fromkeys(row["expert_id"] for row in rows if row["stage"] == "pretrain" and row["expert_id"]))
    for row in rows:
        if row["source_ids"]:
            row["source_ids"] = [experts[row["seed"] % EXPERTS]]
    for target in [row for row in rows if row["stage"] == "reference" and row["arm"] == "trivial"][:2]:
        zero_shot = {"stage": "zero-shot", "arm": "reuse", "strategy": "reuse", "score": 0.5}
        rows += [{**target, **zero_shot, "source_ids": [expert]} for expert in experts]
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["arms"] = {arm: {"strategy": "reuse", "sources": "sources", "choose": how} for arm, how in CHOOSE.items()}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    targets = {row["task_id"]: [0] for row in rows if row["stage"] == "zero-shot"}
    record = {
        "arms": list(CHOOSE),
        "sources": [{"expert": expert, "name": "calm", "seed": place} for place, expert in enumerate(experts)],
        "selectors": [
            {"how": "nearest", "arm": "", "episodes": 0, "chosen": targets},
            {"how": "probe", "arm": "probe", "episodes": 20, "chosen": targets},
        ],
        "validation": None,
    }
    (folder / "selection.json").write_text(json.dumps({"pools": [record], "choices": []}))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> RunData:
    return read_run(folder)


def costs(run: RunData) -> dict[str, CostRow]:
    return {row.arm: row for row in cost_rows(run, target_views(run))}


@pytest.mark.parametrize(("arm", "needed"), [("reuse", 1), ("random", 1), ("nearest", 4), ("best", 4), ("probe", 4)])
def test_an_arm_that_looks_at_a_whole_pool_needs_all_of_it_trained(run: RunData, arm: str, needed: int) -> None:
    row = costs(run)[arm]
    assert (row.pool, row.experts) == (EXPERTS if needed > 1 else 0, EXPERTS)
    assert (row.pretrain_steps, row.source_steps) == (needed * PRETRAIN, PRETRAIN)
    assert row.steps == needed * PRETRAIN + ON_TARGET
    assert row.pretrain_cpu_s == pytest.approx(needed * CPU)


def test_the_pool_counts_with_what_its_experts_were_made_of(run: RunData) -> None:
    made = [
        replace(row, pretrain_env_steps=7.0) if row.stage == "pretrain" and row.arm == "reuse" else row
        for row in run.sources
    ]
    assert costs(replace(run, sources=made))["nearest"].pretrain_steps == EXPERTS * (PRETRAIN + 7)


def test_what_a_pool_took_is_unknown_if_one_of_its_experts_is(run: RunData) -> None:
    known = [row for row in run.sources if row.expert_id != run.sources[-1].source_ids[0]]
    found = costs(replace(run, sources=known))
    assert np.isnan(found["nearest"].pretrain_steps)
    assert found["reuse"].pretrain_steps == PRETRAIN


def test_the_comparison_counts_the_pool_and_its_memory(run: RunData) -> None:
    last = run.sources[-1].source_ids[0]
    peaks = [replace(row, peak_memory_mb=900.0 if row.expert_id == last else 500.0) for row in run.sources]
    mine = [row for row in run.rows if row.arm != "nearest" or row.source_ids != (last,)]
    data = replace(run, sources=peaks, rows=mine)
    rows = {row.arm: row for row in comparisons(data, target_views(data), run.settings)[0].rows}
    assert (rows["nearest"].steps, rows["nearest"].memory_mb) == (EXPERTS * PRETRAIN + ON_TARGET, 900.0)
    assert rows["scratch"].steps == ON_TARGET


@pytest.mark.parametrize("arm", ["reuse", "nearest", "probe"])
def test_a_report_of_some_arms_keeps_the_sources_that_another_arm_was_first_to_train(run: RunData, arm: str) -> None:
    alone = run.only([arm, "scratch"])
    (pool,) = source_pools(alone)
    (whole,) = source_pools(run)
    assert pool.arms == (arm,)
    np.testing.assert_array_equal(pool.scores, whole.scores)
    assert [selector.name for selector in pool.selectors] == ["nearest", "probe"] if arm == "probe" else ["nearest"]
    assert [row.name for row in target_views(alone)[0].arms] == ["scratch", arm]
    assert costs(alone)[arm] == costs(run)[arm]


def test_a_report_without_the_arms_of_a_pool_has_no_pool(run: RunData) -> None:
    assert source_pools(run.only(["scratch"])) == []
