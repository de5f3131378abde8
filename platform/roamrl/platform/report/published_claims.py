"""The hybrid against what was published of it: Nagib, Abou-zeid and Hassanein (IEEE JSAC 2024), claim by claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from roamrl.platform.evaluation.statistics import iqm
from roamrl.platform.evaluation.transfer_metrics import initial_reward
from roamrl.platform.report.arms import Arm, TargetView
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.tables import TransferRow

HYBRID: Final = "hybrid"
BASELINES: Final = ("scratch", "reuse", "distill")
"""Strategies that the published hybrid is compared with."""

CONVERGED: Final = "converged runs"

INITIAL_GAIN, CONVERGED_GAIN, VARIANCE_CHANGE = 0.077, 0.207, -0.646
"""Published: at least 7.7 % more initial reward and 20.7 points more converged scenarios, 64.6 % less variance."""


@dataclass(frozen=True)
class ClaimRow:
    """One measure of a hybrid arm beside a baseline's; NaN where it was not measured.

    Attributes:
        arm: The hybrid arm.
        baseline: The arm it is compared with.
        measure: What is compared.
        ours: The hybrid's value.
        theirs: The baseline's value.
        change: Relative change, NaN where the baseline's value is not above zero; for the share of converged runs the
            difference of shares.
        claimed: The published change.
        unit: What the changes are in, percent or percentage points.
        holds: Whether ours is at least as large as claimed, in the claim's direction; None if it was not measured.
    """

    arm: str
    baseline: str
    measure: str
    ours: float
    theirs: float
    change: float
    claimed: float
    unit: str
    holds: bool | None


def claim_rows(view: TargetView, transfer: Sequence[TransferRow], settings: ReportSettings) -> list[ClaimRow]:
    """Return every published claim for every pair of a hybrid and a baseline; empty without a hybrid."""
    measured = {row.arm: row for row in transfer}
    arms = {arm.name: arm for arm in view.arms if arm.name in measured}
    hybrids = [name for name, arm in arms.items() if arm.strategy == HYBRID]
    baselines = [name for name, arm in arms.items() if arm.strategy in BASELINES]
    initial = _initial_returns(view, list(arms.values()), settings)
    rows = []
    for ours in hybrids:
        for theirs in baselines:
            mine, other = measured[ours], measured[theirs]
            begun, begun_there = initial[ours], initial[theirs]
            converged, converged_there = (row.converged.value if row.converged else np.nan for row in (mine, other))
            rows += [
                _row(ours, theirs, "initial reward", begun, begun_there, _share(begun, begun_there), INITIAL_GAIN),
                _row(
                    ours,
                    theirs,
                    CONVERGED,
                    converged,
                    converged_there,
                    converged - converged_there,
                    CONVERGED_GAIN,
                ),
                _row(
                    ours,
                    theirs,
                    "variance after convergence",
                    mine.variance,
                    other.variance,
                    _share(mine.variance, other.variance),
                    VARIANCE_CHANGE,
                ),
            ]
    return rows


def _share(ours: float, theirs: float) -> float:
    return ours / theirs - 1.0 if theirs > 0 else np.nan


def _row(arm: str, baseline: str, measure: str, ours: float, theirs: float, change: float, claimed: float) -> ClaimRow:
    holds = None if not np.isfinite(change) else bool(change >= claimed if claimed > 0 else change <= claimed)
    unit = "pp" if measure == CONVERGED else "%"
    return ClaimRow(arm, baseline, measure, ours, theirs, float(change), claimed, unit, holds)


def _initial_returns(view: TargetView, arms: Sequence[Arm], settings: ReportSettings) -> dict[str, float]:
    """Return the interquartile mean, over runs, of the mean training return at the start of the shared target steps.

    Returns rather than scores, of which a share has no meaning.
    """
    curves = {arm.name: view.training[arm.name] for arm in arms}
    horizon = min((float(curve.env_steps[-1]) for own in curves.values() for curve in own), default=0.0)
    return {
        name: float(
            iqm([initial_reward(curve.env_steps, curve.returns, horizon, settings.initial_fraction) for curve in own])
        )
        for name, own in curves.items()
    }
