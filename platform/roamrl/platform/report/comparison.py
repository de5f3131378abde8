"""The comparison of the ways to generalise, measured: what a deployment gains from each, and what training it takes.

The tutorial's table for policy transfer, multi-task and meta-reinforcement learning (PROTOCOL 11): deployment
adaptability and sample efficiency, training complexity, risk of negative transfer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roamrl.platform.evaluation.statistics import Estimate, area_under_adaptation_curve, iqm, wilson_interval
from roamrl.platform.evaluation.transfer_metrics import episodes_to_ceiling, shortfall
from roamrl.platform.report.arms import Arm, TargetRun, TargetView
from roamrl.platform.report.comparison_complexity import peak_memory_mb, tuned_hyperparameters
from roamrl.platform.report.comparison_pillars import PILLARS, REFERENCES, pillar_of
from roamrl.platform.report.comparison_views import Field, fields
from roamrl.platform.report.cost import CostRow, cost_rows
from roamrl.platform.report.run_data import RunData
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.tables import AdaptationRow, adaptation_rows
from roamrl.platform.study.schema import CLASSICAL_TUNED

CLASSICAL = "classical"


@dataclass(frozen=True)
class ComparisonRow:
    """An arm in the comparison; None where it was not measured, NaN where a number is not known.

    Attributes:
        pillar: The way to generalise that it belongs to.
        arm: Its name.
        runs: Runs on the targets; for the classical policy, which has no runs, its targets.
        adaptability: Area under the adaptation curve.
        zero_shot: Score at n = 0.
        n_star: Median over runs of the fewest episodes to the asked share of the specialist, inf where half never do.
        reached: Share of runs that get there.
        steps: Environment steps of a run, with the pretraining it needs: where the arm chooses by looking at every
            source of a pool, the pool's.
        cpu_s: Processor time of a run, with the pretraining it needs.
        memory_mb: Largest peak resident memory of a process that trained for it, 10^6 bytes; members of a trial share
            its process.
        tuned: Hyperparameters that val chose, NaN where that is not recorded.
        below_scratch: Share of runs whose area is below that of scratch at equal target steps.
    """

    pillar: str
    arm: str
    runs: int
    adaptability: Estimate | None
    zero_shot: Estimate | None
    n_star: float
    reached: Estimate | None
    steps: float
    cpu_s: float
    memory_mb: float
    tuned: float
    below_scratch: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """The comparison on some targets under one tuning protocol; `rows` are grouped by pillar."""

    tuning: str
    field: Field
    rows: tuple[ComparisonRow, ...]

    @property
    def by_pillar(self) -> list[tuple[str, list[ComparisonRow]]]:
        """The rows of each pillar that has some, in the order of tables."""
        groups = [(pillar, [row for row in self.rows if row.pillar == pillar]) for pillar in PILLARS]
        return [(pillar, rows) for pillar, rows in groups if rows]


@dataclass(frozen=True)
class _Complexity:
    memory_mb: Mapping[str, float]
    tuned: Mapping[str, int]


def comparisons(
    run: RunData, views: Sequence[TargetView], settings: ReportSettings, *, pooled_alone: bool = False
) -> list[Comparison]:
    """Return one comparison a tuning protocol and field, the pooled field of each protocol first.

    Args:
        run: The run.
        views: Its views of targets.
        settings: Of the report.
        pooled_alone: Leave out the fields of single splits where there is a pooled one.
    """
    complexity = _Complexity(peak_memory_mb(run), tuned_hyperparameters(run.folder))
    return [
        Comparison(tuning, field, tuple(_rows(run, field.view, complexity, settings)))
        for tuning in dict.fromkeys(view.tuning for view in views)
        for field in fields(run.study, views, tuning)[: 1 if pooled_alone else None]
    ]


def _rows(run: RunData, view: TargetView, complexity: _Complexity, settings: ReportSettings) -> list[ComparisonRow]:
    costs = {row.arm: row for row in cost_rows(run, [view])}
    adaptation = {row.arm: row for row in adaptation_rows(view, settings)}
    rows = [_row(view, arm, adaptation[arm.name], costs[arm.name], complexity, settings) for arm in view.arms]
    rows += _classical(view, settings)
    return sorted(rows, key=lambda row: PILLARS.index(row.pillar))


def _row(
    view: TargetView,
    arm: Arm,
    found: AdaptationRow,
    cost: CostRow,
    complexity: _Complexity,
    settings: ReportSettings,
) -> ComparisonRow:
    asked = sum(view.ceilings.get(run.task_id, np.nan) > 0.0 for run in arm.runs)
    learns = arm.strategy != CLASSICAL_TUNED
    return ComparisonRow(
        pillar=pillar_of(arm.strategy),
        arm=arm.name,
        runs=len(arm.runs),
        adaptability=found.area,
        zero_shot=found.zero_shot,
        n_star=found.n_star,
        reached=wilson_interval(round(found.reached * asked), asked, settings.confidence) if asked else None,
        steps=cost.steps,
        cpu_s=cost.pretrain_cpu_s + cost.target_cpu_s,
        memory_mb=complexity.memory_mb.get(arm.name, np.nan),
        tuned=complexity.tuned.get(arm.name, np.nan) if learns else 0.0,
        below_scratch=_below_scratch(view, arm, settings),
    )


def _below_scratch(view: TargetView, arm: Arm, settings: ReportSettings) -> Estimate | None:
    """Return the share of runs below scratch by area; None for scratch itself, without it, and without a curve."""
    points = view.shared_points(arm)
    if view.scratch is None or arm.strategy == view.scratch.strategy or len(points) < 2:
        return None
    gaps = [_area_below(run, view.scratch, points) for run in arm.runs]
    known = [gap for gap in gaps if np.isfinite(gap)]
    if not known:
        return None
    return wilson_interval(sum(gap > 0.0 for gap in known), len(known), settings.confidence)


def _area_below(run: TargetRun, scratch: Arm, points: Sequence[float]) -> float:
    """Return by how much a run's area is below scratch's at the run's own target steps: its twin's, or the task's mean.

    Only points over which scratch was measured count; NaN where they are fewer than two.
    """
    same_task = [other for other in scratch.runs if other.task_id == run.task_id]
    partners = [other for other in same_task if other.seed == run.seed] or same_task
    if not partners:
        return float("nan")
    here = np.isin(run.episodes, points)
    gaps = [shortfall(run.env_steps[here], run.score[here], other.env_steps, other.score) for other in partners]
    gap = np.mean(gaps, axis=0)
    known = np.isfinite(gap)
    if np.count_nonzero(known) < 2:
        return float("nan")
    return float(area_under_adaptation_curve(run.episodes[here][known], gap[known]))


def _classical(view: TargetView, settings: ReportSettings) -> list[ComparisonRow]:
    """Return the row of the classical policy as it is, whose score no episode changes; none where there is none."""
    scores = {task: score for task, score in view.references.get(CLASSICAL, {}).items() if task in view.task_names}
    if not scores or view.span is None:
        return []
    level = Estimate(float(iqm(list(scores.values()))), np.nan, np.nan, len(scores))
    stars = [
        episodes_to_ceiling([0.0], [score], view.ceilings[task], settings.ceiling_fraction)
        for task, score in scores.items()
        if view.ceilings.get(task, np.nan) > 0.0
    ]
    below = None
    area = None if view.scratch is None else view.area_of(view.scratch)
    if view.scratch is not None and area is not None:
        met = [run for run in view.scratch.runs if run.task_id in scores]
        below = wilson_interval(sum(area(run) > scores[run.task_id] for run in met), len(met), settings.confidence)
    return [
        ComparisonRow(
            pillar=REFERENCES,
            arm=CLASSICAL,
            runs=len(scores),
            adaptability=level,
            zero_shot=level,
            n_star=float(np.sort(stars)[len(stars) // 2]) if stars else float("nan"),
            reached=wilson_interval(sum(np.isfinite(stars)), len(stars), settings.confidence) if stars else None,
            steps=0.0,
            cpu_s=float("nan"),
            memory_mb=float("nan"),
            tuned=float("nan"),
            below_scratch=below,
        )
    ]
