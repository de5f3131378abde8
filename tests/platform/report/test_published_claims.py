"""The hybrid's published claims: measured beside every baseline, and called true only where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.platform.report.arms import target_views
from roamrl.platform.report.page import write_report
from roamrl.platform.report.published_claims import ClaimRow, claim_rows
from roamrl.platform.report.run_data import read_run
from roamrl.platform.report.tables import transfer_rows

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun, arm_truth: type[Any]) -> Path:
    splits = ("similar", "different")
    return make_run(
        seeds=4,
        splits=dict.fromkeys(splits, 2),
        arms={
            "scratch": arm_truth("scratch", dict.fromkeys(splits, (0.0, 0.6))),
            "reuse": arm_truth("reuse", dict.fromkeys(splits, (0.58, 0.9))),
            "mixed": arm_truth("hybrid", {"similar": (0.6, 0.9), "different": (0.0, 0.6)}),
            "joint": arm_truth("joint", dict.fromkeys(splits, (0.5, 0.9))),
        },
    )


def claims(run: Path, split: str) -> dict[tuple[str, str], ClaimRow]:
    data = read_run(run)
    (view,) = (view for view in target_views(data) if view.split == split)
    rows = claim_rows(view, transfer_rows(view, data.settings), data.settings)
    assert {row.arm for row in rows} == {"mixed"}
    return {(row.baseline, row.measure): row for row in rows}


def test_every_claim_is_set_beside_scratch_and_reuse_alone(run: Path) -> None:
    measures = ("initial reward", "converged runs", "variance after convergence")
    assert set(claims(run, "similar")) == {(other, measure) for other in ("scratch", "reuse") for measure in measures}


def test_initial_rewards_are_returns_and_their_ratio_decides(run: Path) -> None:
    """A score s is here a return of 10 + 20 s; the hybrid starts at .6, scratch at 0, reuse at .58."""
    found = claims(run, "similar")
    beside_scratch, beside_reuse = found["scratch", "initial reward"], found["reuse", "initial reward"]
    assert beside_scratch.ours == pytest.approx(10 + 20 * 0.72, abs=1.5)
    assert beside_scratch.change == pytest.approx(beside_scratch.ours / beside_scratch.theirs - 1)
    assert (beside_scratch.holds, beside_scratch.claimed) == (True, 0.077)
    assert 0 < beside_reuse.change < 0.077
    assert beside_reuse.holds is False


def test_converged_runs_change_in_points_and_unmeasured_variance_holds_nothing(run: Path) -> None:
    found = claims(run, "similar")
    assert found["scratch", "converged runs"].ours == 1.0
    assert found["scratch", "converged runs"].theirs == 0.0
    assert found["scratch", "converged runs"].holds is True
    assert found["reuse", "converged runs"].holds is False
    assert np.isnan(found["scratch", "variance after convergence"].change), "no run of scratch converged"
    assert found["scratch", "variance after convergence"].holds is None


@pytest.mark.parametrize("theirs", [0.0, -2.0])
def test_a_share_of_nothing_or_less_is_not_measured(run: Path, monkeypatch: pytest.MonkeyPatch, theirs: float) -> None:
    returns = {"scratch": theirs, "reuse": 10.0, "mixed": 12.0, "joint": 10.0}
    monkeypatch.setattr("roamrl.platform.report.published_claims._initial_returns", lambda *_: returns)
    found = claims(run, "similar")
    assert np.isnan(found["scratch", "initial reward"].change) and found["scratch", "initial reward"].holds is None
    assert found["reuse", "initial reward"].change == pytest.approx(0.2)


def test_the_page_says_where_a_claim_does_not_hold(run: Path, make_run: MakeRun) -> None:
    text = write_report(run).read_text(encoding="utf-8")
    assert "The hybrid against its publication" in text
    assert "<td>no</td>" in text
    assert "<td>+7.7 %</td>" in text
    assert "<td>+20.7 pp</td>" in text
    without = write_report(make_run(seeds=3, splits={"similar": 2})).read_text(encoding="utf-8")
    assert "The hybrid against its publication" not in without
