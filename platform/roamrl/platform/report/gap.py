"""The generalisation gap in numbers: training and target scores against the number of training contexts.

A policy is one run: its score on a split is the mean over the split's tasks, and intervals are over independently
trained policies, for which the many tasks that one policy plays are no substitute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.normalisation import BY_ORACLE, RETURNS, Yardstick
from roamrl.platform.evaluation.statistics import Estimate, iqm, stratified_bootstrap_interval
from roamrl.platform.report.run_data import Row, RunData, first_seen
from roamrl.platform.report.settings import ReportSettings

Floats = npt.NDArray[np.float64]

STAGE, RECORD = "gap", "gap.json"


@dataclass(frozen=True)
class GapPoint:
    """An arm's policies of one number of training contexts; arrays have one number a policy, [S].

    Attributes:
        contexts: Number of training contexts.
        unlimited: Whether they stand for as many as there are.
        train: Mean score on the training contexts.
        tests: Mean score on the tasks of each target split.
        test: Mean score on all targets.
    """

    contexts: int
    unlimited: bool
    train: Floats
    tests: Mapping[str, Floats]
    test: Floats

    @property
    def label(self) -> str:
        """What tables call the number."""
        return "unlimited" if self.unlimited else str(self.contexts)


@dataclass(frozen=True)
class GapCurve:
    """An arm's scores against the number of training contexts.

    Attributes:
        arm: The arm.
        sources: Split of the training contexts.
        steps: Environment steps of every policy.
        splits: Target splits, in the order of the study.
        points: One a number of contexts, increasing.
        yardstick: What the scores are; returns where there is no oracle, since no specialist knows training contexts.
    """

    arm: str
    sources: str
    steps: int
    splits: tuple[str, ...]
    points: tuple[GapPoint, ...]
    yardstick: Yardstick


@dataclass(frozen=True)
class GapRow:
    """A number of training contexts in a table; `gap` is training less target score, policy by policy."""

    label: str
    policies: int
    train: Estimate
    tests: tuple[Estimate, ...]
    test: Estimate
    gap: Estimate


def gap_curves(run: RunData) -> list[GapCurve]:
    """Return one curve an arm whose generalisation gap the run measured; empty for other runs.

    Raises:
        InputError: If ``gap.json`` is none that this version wrote.
    """
    path = run.folder / RECORD
    rows = [row for row in run.rows if row.stage == STAGE]
    if not path.exists() or not rows:
        return []
    try:
        policies = json.loads(path.read_text(encoding="utf-8"))["policies"]
        arms = first_seen(str(policy["arm"]) for policy in policies)
        curves = [_curve(run, rows, arm, [policy for policy in policies if policy["arm"] == arm]) for arm in arms]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); finish the run again to rewrite it") from error
    return [curve for curve in curves if curve.points]


def gap_rows(curve: GapCurve, settings: ReportSettings) -> list[GapRow]:
    """Return one row a number of training contexts."""
    return [
        GapRow(
            label=point.label,
            policies=len(point.train),
            train=over_policies(point.train, settings),
            tests=tuple(over_policies(point.tests[split], settings) for split in curve.splits),
            test=over_policies(point.test, settings),
            gap=over_policies(point.train - point.test, settings),
        )
        for point in curve.points
    ]


def over_policies(values: Floats, settings: ReportSettings) -> Estimate:
    """Return the interquartile mean over policies [S] with its bootstrap interval, not available for one of them."""
    return stratified_bootstrap_interval([values], iqm, settings.bootstrap)


def _curve(run: RunData, rows: Sequence[Row], arm: str, policies: Sequence[Mapping[str, Any]]) -> GapCurve:
    sources = str(policies[0]["sources"])
    scored = run.yardstick is BY_ORACLE
    mine: dict[str, list[Row]] = {}
    for row in rows:
        if row.arm == arm:
            mine.setdefault(row.source_ids[0], []).append(row)
    seen = first_seen(row.split for own in mine.values() for row in own if row.split != sources)
    named = [str(split) for split in run.study.get("targets") or ()]
    splits = tuple(sorted(seen, key=lambda split: named.index(split) if split in named else len(named)))
    sizes: dict[int, list[Mapping[str, Any]]] = {}
    for policy in policies:
        sizes.setdefault(int(policy["contexts"]), []).append(policy)

    def value(row: Row) -> float:
        return row.score if scored else row.return_mean

    points = [_point(own, mine, sources, splits, value) for _, own in sorted(sizes.items())]
    kept = tuple(point for point in points if point is not None)
    return GapCurve(arm, sources, int(policies[0]["steps"]), splits, kept, BY_ORACLE if scored else RETURNS)


def _point(
    policies: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Sequence[Row]],
    sources: str,
    splits: Sequence[str],
    value: Callable[[Row], float],
) -> GapPoint | None:
    """Return the point of one number of contexts; None if no policy of it was scored on all splits."""
    means: list[dict[str, float]] = []
    tests: list[float] = []
    for policy in policies:
        own = rows.get(str(policy["key"]), ())
        by_split = {split: [value(row) for row in own if row.split == split] for split in (sources, *splits)}
        if all(by_split.values()):
            means.append({split: float(np.mean(values)) for split, values in by_split.items()})
            tests.append(float(np.mean([each for split in splits for each in by_split[split]])))
    if not means:
        return None
    return GapPoint(
        contexts=int(policies[0]["contexts"]),
        unlimited=bool(policies[0]["unlimited"]),
        train=np.array([each[sources] for each in means]),
        tests={split: np.array([each[split] for each in means]) for split in splits},
        test=np.array(tests),
    )
