"""The generalisation gap of a report against rows whose closed form is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.normalisation import BY_ORACLE, RETURNS
from roamrl.platform.report.figures.gap import draw_gap
from roamrl.platform.report.gap import GapCurve, gap_curves, gap_rows
from roamrl.platform.report.page import write_report
from roamrl.platform.report.run_data import read_run

CONTEXTS = (1, 4, 16, 64)
SEEDS = 5
TRIVIAL, ORACLE = 10.0, 30.0


def train_score(contexts: int, task: int, seed: int) -> float:
    """.9 on one context, falling by .05 each time their number is quadrupled; tasks and seeds lie about that."""
    return 0.9 - 0.05 * np.log(contexts) / np.log(4) + 0.01 * (task % 2 - 0.5) * (contexts > 1) + 0.02 * (seed - 2)


def target_score(split: str, contexts: int, task: int, seed: int) -> float:
    """Rising by .1 each time; every second task of a split .2 below the others."""
    start = {"similar": 0.3, "different": -0.2}[split]
    return start + 0.1 * np.log(contexts) / np.log(4) - 0.2 * (task % 2) + 0.02 * (seed - 2)


def add_gap(folder: Path, oracle: bool = True, lost: tuple[int, int] | None = None) -> Path:
    """Add a gap to a run; `lost` is (contexts, seed) of a policy whose scores on `different` are missing."""
    table = pq.read_table(folder / "results.parquet")
    like = next(row for row in table.to_pylist() if row["stage"] == "reference")
    rows, policies = [], []
    for contexts in CONTEXTS:
        for seed in range(SEEDS):
            key = f"{contexts}-{seed}"
            policies.append(
                {"key": key, "arm": "joint", "contexts": contexts, "unlimited": contexts == 64, "seed": seed}
                | {"steps": 64_000, "sources": "train"}
            )
            found = [("train", task, train_score(contexts, task, seed)) for task in range(min(contexts, 16))]
            found += [(s, t, target_score(s, contexts, t, seed)) for s in ("different", "similar") for t in range(4)]
            for split, task, score in found:
                if (contexts, seed) == lost and split == "different":
                    continue
                value = TRIVIAL + score * (ORACLE - TRIVIAL)
                rows.append(
                    like
                    | {"unit": f"gap-{contexts}", "stage": "gap", "arm": "joint", "strategy": "joint", "seed": seed}
                    | {"task_id": f"{split}{task}", "task_name": f"{split}-{task}", "split": split, "tuning": "none"}
                    | {"source_ids": [key], "return_mean": value, "score": score if oracle else value}
                    | {"return_trivial": TRIVIAL, "return_oracle": ORACLE if oracle else float("nan")}
                )
    every = [row for row in table.to_pylist() if oracle or row["arm"] != "oracle"]
    if not oracle:
        every = [row | {"return_oracle": float("nan"), "score": row["return_mean"]} for row in every]
    pq.write_table(table.from_pylist([*every, *rows], schema=table.schema), folder / "results.parquet")
    (folder / "gap.json").write_text(json.dumps({"policies": policies}))
    return folder


@pytest.fixture(scope="module")
def folder(make_run: Callable[..., Path]) -> Path:
    return add_gap(make_run(seeds=2, splits={"similar": 1, "different": 1}, curves=False))


@pytest.fixture(scope="module")
def curve(folder: Path) -> GapCurve:
    (found,) = gap_curves(read_run(folder))
    return found


def test_points_are_means_over_tasks_one_a_policy(curve: GapCurve) -> None:
    assert (curve.arm, curve.sources, curve.steps, curve.yardstick) == ("joint", "train", 64_000, BY_ORACLE)
    assert curve.splits == ("similar", "different")  # the order of the study's targets
    assert [(p.contexts, p.unlimited, p.label) for p in curve.points] == [
        *((n, False, str(n)) for n in (1, 4, 16)),
        (64, True, "unlimited"),
    ]
    around = 0.02 * (np.arange(SEEDS) - 2)
    for place, point in enumerate(curve.points):
        np.testing.assert_allclose(np.sort(point.train), 0.9 - 0.05 * place + around, atol=1e-12)
        np.testing.assert_allclose(np.sort(point.tests["similar"]), 0.2 + 0.1 * place + around, atol=1e-12)
        np.testing.assert_allclose(np.sort(point.test), -0.05 + 0.1 * place + around, atol=1e-12)


def test_rows_hold_the_gap_policy_by_policy(folder: Path, curve: GapCurve) -> None:
    settings = read_run(folder).settings
    for place, row in enumerate(gap_rows(curve, settings)):
        assert row.policies == SEEDS
        assert row.train.value == pytest.approx(0.9 - 0.05 * place)
        assert [each.value for each in row.tests] == pytest.approx([0.2 + 0.1 * place, -0.3 + 0.1 * place])
        # Every policy is .02 a seed better on both sides: unpaired, the gap would be as wide as two scores.
        assert row.gap.value == pytest.approx(0.95 - 0.15 * place)
        assert row.gap.high - row.gap.low == pytest.approx(0.0, abs=1e-9)
        assert row.train.high - row.train.low > 0.02


def test_a_policy_that_was_not_scored_everywhere_is_left_out(make_run: Callable[..., Path]) -> None:
    run = read_run(add_gap(make_run(seeds=2, splits={"similar": 1}, curves=False), lost=(4, 0)))
    (curve,) = gap_curves(run)
    assert [len(point.train) for point in curve.points] == [5, 4, 5, 5]
    assert gap_rows(curve, run.settings)[1].train.value == pytest.approx(0.85 + 0.01)


def test_without_an_oracle_they_are_returns_on_both_sides(make_run: Callable[..., Path]) -> None:
    run = read_run(add_gap(make_run(seeds=2, splits={"similar": 1}, specialist=None, curves=False), oracle=False))
    (curve,) = gap_curves(run)
    assert curve.yardstick is RETURNS
    assert float(np.median(curve.points[0].train)) == pytest.approx(TRIVIAL + 0.9 * (ORACLE - TRIVIAL))
    assert "whose scale differs from context to context" in write_report(run.folder).read_text(encoding="utf-8")


def test_the_figure_has_a_line_for_training_and_one_a_split_on_a_log_axis(folder: Path, curve: GapCurve) -> None:
    (axes,) = draw_gap(curve, read_run(folder).settings).axes
    lines = {str(line.get_label()): line for line in axes.lines if not str(line.get_label()).startswith("_")}
    assert list(lines) == ["training contexts", "similar targets", "different targets"]
    np.testing.assert_allclose(lines["training contexts"].get_ydata(), [0.9, 0.85, 0.8, 0.75])
    np.testing.assert_allclose(lines["similar targets"].get_xdata(), CONTEXTS)
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4", "16", "unlimited\n(64)"]


def test_the_page_has_figure_and_table(folder: Path) -> None:
    text = write_report(folder).read_text(encoding="utf-8")
    section = text[text.index('id="gap"') : text.index('id="profiles"')]
    assert "Generalisation gap: joint" in section
    assert "<tr><th>unlimited</th><td>5</td><td>0.75" in section
    assert "a pool of 64 contexts" in section
    assert (folder / "report" / "gap-joint.png").read_bytes().startswith(b"\x89PNG")


def test_runs_without_a_gap_have_no_section(make_run: Callable[..., Path]) -> None:
    run = make_run(seeds=2, splits={"similar": 1}, curves=False)
    assert gap_curves(read_run(run)) == []
    assert 'id="gap"' not in write_report(run).read_text(encoding="utf-8")


def test_a_record_that_is_none_is_refused(make_run: Callable[..., Path]) -> None:
    folder = add_gap(make_run(seeds=2, splits={"similar": 1}, curves=False))
    bad: Any = {"policies": [{"arm": "joint"}]}
    (folder / "gap.json").write_text(json.dumps(bad))
    with pytest.raises(InputError, match=r"gap\.json cannot be read"):
        gap_curves(read_run(folder))
