"""Choosing the source: the table, the words and the matrix against a truth that is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.figures.transfer_matrix import source_means
from roamrl.platform.report.page import write_report
from roamrl.platform.report.run_data import RunData, read_run
from roamrl.platform.report.selection import SourcePool, selector_rows, source_pools
from roamrl.platform.report.selection_words import selection_words

MakeRun = Callable[..., Path]
SCORES = np.array(
    [
        [0.80, 0.70, 0.60, -0.50, -0.30],
        [0.78, 0.74, 0.58, -0.40, -0.20],
        [0.40, 0.30, 0.20, 0.50, 0.60],
        [0.44, 0.32, 0.24, 0.52, 0.56],
    ]
)
"""Two experts of calm, two of busy, on three similar and two different targets; scratch starts at 0 on all."""

EXPERTS = [f"expert-{place}" for place in range(4)]
BEST = SCORES.max(axis=0)


def task_id(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


TARGETS = ["similar-0", "similar-1", "similar-2", "different-0", "different-1"]


def add_selection(folder: Path, **selectors: list[list[int]]) -> Path:
    table = pq.read_table(folder / "results.parquet")
    rows = table.to_pylist()
    start = {row["task_name"]: row for row in rows if row["stage"] == "reference" and row["arm"] == "trivial"}
    for place, expert in enumerate(EXPERTS):
        for number, name in enumerate(TARGETS):
            score = float(SCORES[place, number])
            zero_shot = {"stage": "zero-shot", "arm": "reuse", "strategy": "reuse", "source_ids": [expert]}
            rows.append({**start[name], **zero_shot, "score": score, "return_mean": 10.0 + 20.0 * score})
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    record: dict[str, Any] = {
        "pools": [
            {
                "arms": ["reuse", "reuse-probe"],
                "sources": [
                    {"expert": expert, "name": "calm" if place < 2 else "busy", "seed": place % 2}
                    for place, expert in enumerate(EXPERTS)
                ],
                "selectors": [
                    {
                        "how": how,
                        "arm": "reuse-probe" if how == "probe" else "",
                        "episodes": 20 if how == "probe" else 0,
                        "chosen": {task_id(name): places for name, places in zip(TARGETS, chosen, strict=True)},
                    }
                    for how, chosen in selectors.items()
                ],
                "validation": {
                    "tasks": ["v0", "v1", "v2"],
                    "penalty": 0.1,
                    "explained": 0.62,
                    "ranks": None,
                    "regret": {"random": 0.2, "predicted": 0.05},
                    "gains": [],
                    "foretold": [],
                },
            }
        ],
        "choices": [],
    }
    (folder / "selection.json").write_text(json.dumps(record))
    return folder


EVERYONE, CALM, BUSY = [0, 1, 2, 3], [0, 1], [2, 3]
CHOICES = {
    "random": [EVERYONE] * 5,
    "nearest": [CALM, CALM, CALM, CALM, BUSY],
    "predicted": [CALM, CALM, CALM, BUSY, BUSY],
    "probe": [[0], [1], [0], [3], [2]],
}


@pytest.fixture(scope="module")
def folder(make_run: MakeRun) -> Path:
    return add_selection(make_run(seeds=3, splits={"similar": 3, "different": 2}, curves=False), **CHOICES)


@pytest.fixture(scope="module")
def run(folder: Path) -> RunData:
    return read_run(folder)


@pytest.fixture(scope="module")
def pool(run: RunData) -> SourcePool:
    (found,) = source_pools(run)
    return found


def test_the_matrix_is_that_of_the_rows_in_the_order_of_the_splits(pool: SourcePool) -> None:
    assert pool.targets == tuple(TARGETS)
    assert pool.splits == ("similar",) * 3 + ("different",) * 2
    assert pool.scores == pytest.approx(SCORES)
    assert pool.worse.tolist() == (SCORES < 0).tolist()
    names, means = source_means(pool)
    assert names == ["calm", "busy"]
    assert means == pytest.approx(np.array([SCORES[:2].mean(axis=0), SCORES[2:].mean(axis=0)]))


def test_who_always_takes_the_best_has_no_regret(run: RunData, pool: SourcePool) -> None:
    row = {row.selector: row for row in selector_rows(pool, run.settings)}["probe"]
    assert (row.regret.value, row.regret.low, row.regret.high) == (0.0, 0.0, 0.0)
    assert (row.best, row.below_trivial, row.episodes) == (1.0, 0.0, 20)


def test_regret_is_the_mean_over_targets_of_what_the_best_had_more(run: RunData, pool: SourcePool) -> None:
    rows = {row.selector: row for row in selector_rows(pool, run.settings)}
    random = BEST - SCORES.mean(axis=0)
    assert rows["random"].regret.value == pytest.approx(random.mean())
    assert rows["random"].by_split == pytest.approx((random[:3].mean(), random[3:].mean()))
    assert rows["random"].regret.low < random.mean() < rows["random"].regret.high
    assert rows["random"].best == pytest.approx(0.25)
    assert rows["random"].below_trivial == pytest.approx(4 / 20)
    nearest = [BEST[t] - SCORES[CHOICES["nearest"][t], t].mean() for t in range(5)]
    assert rows["nearest"].regret.value == pytest.approx(np.mean(nearest))
    assert rows["nearest"].below_scratch == pytest.approx(1 / 5)
    assert rows["predicted"].below_scratch == 0.0


def test_without_scratch_nothing_is_said_of_it(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {"reuse": arm_truth("reuse", {"similar": (0.1, 0.2), "different": (0.1, 0.2)})}
    data = read_run(
        add_selection(
            make_run(arms=arms, seeds=2, splits={"similar": 3, "different": 2}, curves=False), random=[EVERYONE] * 5
        )
    )
    (row,) = selector_rows(source_pools(data)[0], data.settings)
    assert np.isnan(row.below_scratch)
    assert row.below_trivial == pytest.approx(4 / 20)


def test_the_words_name_the_leader_its_price_and_what_predicting_did_not_bring(run: RunData, pool: SourcePool) -> None:
    leader, *others = selection_words(pool, run.settings)
    assert leader.startswith("Choosing one of 4 source policies for each of 5 targets: probe leaves least")
    assert f"random ({np.mean(BEST - SCORES.mean(axis=0)):.3f})" in leader.split("leave significantly more")[0]
    assert "Probe takes 20 episodes of the target" in leader
    (limits,) = [line for line in others if "predicted is not shown to be better than" in line]
    assert "nearest" in limits
    assert "random" not in limits
    assert any("R² 0.62" in line and "3 validation tasks" in line for line in others)


def test_the_page_has_the_table_the_matrix_and_the_headline(folder: Path) -> None:
    text = write_report(folder).read_text(encoding="utf-8")
    section = text[text.index('<section id="sources">') :]
    section = section[: section.index("</section>")]
    assert section.count("<svg") == 1
    assert "<th>predicted</th>" in section
    assert "leaves least of the best one" in text[: text.index('<section id="convergence">')]
    for ending, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        assert (folder / "report" / f"transfer-matrix.{ending}").read_bytes().startswith(start)


def test_targets_that_not_every_source_was_scored_on_are_left_out(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "results.parquet")
    lost = (EXPERTS[1], "similar-1")
    kept = [r for r in table.to_pylist() if r["stage"] != "zero-shot" or (r["source_ids"][0], r["task_name"]) != lost]
    pq.write_table(table.from_pylist(kept, schema=table.schema), tmp_path / "results.parquet")
    for name in ("study.yaml", "selection.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (found,) = source_pools(read_run(tmp_path))
    assert found.targets == ("similar-0", "similar-2", "different-0", "different-1")
    assert found.scores == pytest.approx(np.delete(SCORES, 1, axis=1))


def test_a_broken_record_says_how_to_mend_it(folder: Path, tmp_path: Path) -> None:
    for name in ("study.yaml", "results.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert source_pools(read_run(tmp_path)) == []
    (tmp_path / "selection.json").write_text('{"pools": [{}]}')
    with pytest.raises(InputError, match="run again to rewrite it"):
        source_pools(read_run(tmp_path))
