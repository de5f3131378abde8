"""What scores are measured against: the oracle, else the best specialist, else nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from roamrl.platform.evaluation.normalisation import (
    BY_ORACLE,
    BY_SPECIALIST,
    RETURNS,
    best_specialists,
    scores_in_the_end,
    share,
    val_yardstick,
    yardstick_of,
)
from roamrl.platform.evaluation.references import ReferenceReturns

NAN = float("nan")


@dataclass(frozen=True)
class Row:
    task_id: str
    split: str
    return_mean: float
    stage: str = "adapt"
    arm: str = "reuse"
    strategy: str = "reuse"
    return_trivial: float = 10.0
    return_oracle: float = NAN


def specialist(task: str, returns: float, split: str = "similar") -> Row:
    return Row(task, split, returns, "pretrain", "specialist", "specialist")


def test_the_oracle_comes_first_then_the_best_specialist_then_nothing() -> None:
    alone = [Row("a", "similar", 20.0)]
    assert yardstick_of(alone, "val") is RETURNS
    assert yardstick_of([*alone, specialist("a", 30.0)], "val") is BY_SPECIALIST
    assert (
        yardstick_of([*alone, specialist("a", 30.0), Row("a", "similar", 1.0, return_oracle=40.0)], "val") is BY_ORACLE
    )
    assert (val_yardstick(BY_SPECIALIST), val_yardstick(BY_ORACLE)) == (RETURNS, BY_ORACLE)


def test_a_specialist_that_visits_val_sets_no_scale_there() -> None:
    rows = [specialist("a", 25.0), specialist("a", 30.0), specialist("v", 99.0, "val")]
    assert best_specialists(rows, "val") == {"a": 30.0}
    assert yardstick_of(rows[2:], "val") is RETURNS


def test_scores_become_shares_on_targets_and_stay_returns_on_val() -> None:
    rows = [specialist("a", 30.0), Row("a", "similar", 20.0), Row("a", "similar", 35.0), Row("v", "val", 20.0)]
    rows += [Row("b", "similar", 20.0), specialist("c", 9.0), Row("c", "similar", 20.0)]
    final = scores_in_the_end(rows, [row.return_mean for row in rows], "val")
    assert final[:4].tolist() == [1.0, 0.5, 1.25, 20.0]
    assert np.isnan(final[4:]).all()  # b has no specialist, c's is no better than trivial


def test_scores_by_an_oracle_are_left_alone() -> None:
    rows = [specialist("a", 30.0), Row("a", "similar", 20.0, return_oracle=40.0)]
    assert scores_in_the_end(rows, [0.7, 0.3], "val").tolist() == [0.7, 0.3]


def test_a_share_of_something_no_better_than_trivial_has_no_meaning() -> None:
    assert share(15.0, 10.0, 20.0) == 0.5
    assert np.isnan(share(15.0, 10.0, 10.0))


def test_without_an_oracle_reference_returns_give_returns() -> None:
    got = np.array([12.0, 16.0])
    bare = ReferenceReturns({"trivial": np.array([10.0, 10.0])}, {})
    full = ReferenceReturns({"trivial": np.array([10.0, 10.0]), "oracle": np.array([30.0, 30.0])}, {})
    assert (bare.score(got), full.score(got)) == (14.0, pytest.approx(0.2))
    assert bare.scores(got).tolist() == [12.0, 16.0]
    assert (bare.normalises, full.normalises) == (False, True)
    assert np.isnan(bare.mean("oracle", 2))
    assert np.isnan(bare.gap(5))
    assert full.gap(5) == 4.0
