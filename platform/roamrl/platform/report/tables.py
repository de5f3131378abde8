"""The numbers of a report's tables, one frozen row each; words and formatting are the page's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roamrl.platform.evaluation.statistics import (
    Estimate,
    iqm,
    stratified_bootstrap_interval,
    wilson_interval,
    worst_share_mean,
)
from roamrl.platform.evaluation.transfer_metrics import (
    Convergence,
    convergence,
    episodes_to_ceiling,
    initial_reward,
    shortfall,
)
from roamrl.platform.report.arms import Arm, TargetRun, TargetView
from roamrl.platform.report.run_data import TrainingCurve
from roamrl.platform.report.settings import ReportSettings


@dataclass(frozen=True)
class AdaptationRow:
    """An arm's adaptation curve in numbers; None where the arm was not measured there.

    `n_star` is the median over runs of the fewest episodes to reach the asked share of the specialist (inf: not
    reached by half of them; NaN: no specialist), `reached` the share of runs that did.
    """

    arm: str
    runs: int
    tasks: int
    zero_shot: Estimate | None
    area: Estimate | None
    n_star: float
    reached: float
    final: Estimate | None
    worst_decile: float
    violations_adapting: float


@dataclass(frozen=True)
class TransferRow:
    """An arm's O-RAN transfer metrics; changes are against scratch, NaN for scratch itself or without it.

    `step` is the median over all runs of the target steps to converge, inf where half of them did not; `variance` is
    the mean over the runs that did.
    """

    arm: str
    runs: int
    initial: Estimate
    converged: Estimate | None
    step: float
    variance: float
    initial_change: float = float("nan")
    converged_change: float = float("nan")
    variance_change: float = float("nan")


@dataclass(frozen=True)
class NegativeRow:
    """Share of an arm's runs that are below scratch at equal target steps, by number of target episodes.

    `clear` counts those below by more than the margin at the last point.
    """

    arm: str
    points: tuple[float, ...]
    shares: tuple[Estimate, ...]
    clear: Estimate


@dataclass(frozen=True)
class TaskRow:
    """One target: returns of the trivial policy and of what counts as 1, then scores (NaN where there is none)."""

    task_id: str
    task: str
    trivial: float
    top: float
    classical: float
    specialist: float
    scores: tuple[float, ...]

    @property
    def best(self) -> float:
        """The highest of the arms' scores, NaN if there is none."""
        known = [score for score in self.scores if np.isfinite(score)]
        return max(known) if known else float("nan")


def adaptation_rows(view: TargetView, settings: ReportSettings) -> list[AdaptationRow]:
    """Return one row an arm."""
    return [_adaptation_row(view, arm, settings) for arm in view.arms]


def _adaptation_row(view: TargetView, arm: Arm, settings: ReportSettings) -> AdaptationRow:
    final = view.final_of(arm)
    stars = _episodes_to_specialist(view, arm, settings)
    violations = [_violations_adapting(view, run) for run in arm.runs]
    known = [rate for rate in violations if np.isfinite(rate)]
    return AdaptationRow(
        arm=arm.name,
        runs=len(arm.runs),
        tasks=len(arm.tasks),
        zero_shot=_estimate(arm, (lambda run: run.score_at(0.0)) if 0.0 in arm.points else None, settings),
        area=_estimate(arm, view.area_of(arm), settings),
        n_star=_median(stars),
        reached=float(np.mean(np.isfinite(stars))) if stars.size else float("nan"),
        final=_estimate(arm, final, settings),
        worst_decile=worst_share_mean([final(run) for run in arm.runs]) if final else float("nan"),
        violations_adapting=float(np.mean(known)) if known else float("nan"),
    )


def _within(view: TargetView, run: TargetRun) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which points of a run lie within the span that all adapting arms share [K]."""
    return run.episodes <= (view.span[1] if view.span else run.episodes[-1])


def _violations_adapting(view: TargetView, run: TargetRun) -> float:
    """Return the mean violation rate of a run's target episodes up to the end of the shared span."""
    return float(run.violation_adapting[_within(view, run)][-1])


def _estimate(arm: Arm, value: Callable[[TargetRun], float] | None, settings: ReportSettings) -> Estimate | None:
    if value is None:
        return None
    return stratified_bootstrap_interval(arm.strata(value), iqm, settings.bootstrap)


def _episodes_to_specialist(
    view: TargetView, arm: Arm, settings: ReportSettings
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return n* of each run whose task has a specialist better than trivial."""
    found = [
        episodes_to_ceiling(
            run.episodes[_within(view, run)],
            run.score[_within(view, run)],
            view.ceilings[run.task_id],
            settings.ceiling_fraction,
        )
        for run in arm.runs
        if run.task_id in view.ceilings
    ]
    stars = np.array(found, dtype=np.float64)
    return stars[~np.isnan(stars)]


def _median(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the upper median, which is a value that occurs and may be infinite; NaN of nothing."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return float(ordered[ordered.size // 2]) if ordered.size else float("nan")


def transfer_rows(view: TargetView, settings: ReportSettings) -> list[TransferRow]:
    """Return the O-RAN transfer metrics of every arm that has training curves with scores."""
    scored = {
        arm.name: [curve for curve in view.training[arm.name] if np.isfinite(curve.score).all()] for arm in view.arms
    }
    known = {name: curves for name, curves in scored.items() if curves}
    if not known:
        return []
    horizon = min(float(curve.env_steps[-1]) for curves in known.values() for curve in curves)
    rows = {name: _transfer_row(name, curves, view, horizon, settings) for name, curves in known.items()}
    base = rows.get(view.scratch.name) if view.scratch else None
    return [_against(row, base) for row in rows.values()]


def _transfer_row(
    arm: str, curves: list[TrainingCurve], view: TargetView, horizon: float, settings: ReportSettings
) -> TransferRow:
    tasks = list(dict.fromkeys(curve.task_id for curve in curves))
    initial = [
        [
            initial_reward(curve.env_steps, curve.score, horizon, settings.initial_fraction)
            for curve in curves
            if curve.task_id == task
        ]
        for task in tasks
    ]
    outcomes = [
        _within_horizon(curve, view.ceilings[curve.task_id], horizon, settings)
        for curve in curves
        if curve.task_id in view.ceilings
    ]
    variances = [outcome.variance for outcome in outcomes if np.isfinite(outcome.variance)]
    hits = sum(outcome.converged for outcome in outcomes)
    return TransferRow(
        arm=arm,
        runs=len(curves),
        initial=stratified_bootstrap_interval(initial, iqm, settings.bootstrap),
        converged=wilson_interval(hits, len(outcomes), settings.confidence) if outcomes else None,
        step=_median([outcome.step if outcome.converged else float("inf") for outcome in outcomes]),
        variance=float(np.mean(variances)) if variances else float("nan"),
    )


def _within_horizon(curve: TrainingCurve, ceiling: float, horizon: float, settings: ReportSettings) -> Convergence:
    kept = curve.env_steps <= horizon
    return convergence(
        curve.episodes[kept],
        curve.env_steps[kept],
        curve.score[kept],
        ceiling=ceiling,
        tolerance=settings.tolerance,
        window=settings.window,
    )


def _against(row: TransferRow, base: TransferRow | None) -> TransferRow:
    """Return a row with its changes against scratch: in score, in share of runs, and relative for the variance."""
    if base is None or base is row:
        return row
    converged = float("nan")
    if row.converged is not None and base.converged is not None:
        converged = row.converged.value - base.converged.value
    return replace(
        row,
        initial_change=row.initial.value - base.initial.value,
        converged_change=converged,
        variance_change=row.variance / base.variance - 1.0 if base.variance > 0 else float("nan"),
    )


def negative_rows(view: TargetView, settings: ReportSettings) -> list[NegativeRow]:
    """Return the share of negative transfer of every arm but scratch; empty without scratch."""
    scratch = view.scratch
    if scratch is None:
        return []
    rows = (_negative_row(arm, scratch, settings) for arm in view.arms if arm.strategy != scratch.strategy)
    return [row for row in rows if row is not None]


def _negative_row(arm: Arm, scratch: Arm, settings: ReportSettings) -> NegativeRow | None:
    gaps = [_gap_to_scratch(run, scratch) for run in arm.runs]
    points, shares, clear = [], [], None
    for n in arm.points:
        at = np.array([gap[n] for gap in gaps if n in gap and np.isfinite(gap[n])])
        if at.size == 0:
            continue
        points.append(n)
        shares.append(wilson_interval(int(np.count_nonzero(at > 0.0)), at.size, settings.confidence))
        beyond = int(np.count_nonzero(at > settings.negative_margin))
        clear = wilson_interval(beyond, at.size, settings.confidence)
    return NegativeRow(arm.name, tuple(points), tuple(shares), clear) if clear is not None else None


def _gap_to_scratch(run: TargetRun, scratch: Arm) -> dict[float, float]:
    """Return by target episodes how far a run is below scratch: its twin (task, seed), else the task's mean."""
    same_task = [other for other in scratch.runs if other.task_id == run.task_id]
    partners = [other for other in same_task if other.seed == run.seed] or same_task
    if not partners:
        return {}
    gaps = np.mean([shortfall(run.env_steps, run.score, other.env_steps, other.score) for other in partners], axis=0)
    return dict(zip(run.episodes.tolist(), gaps.tolist(), strict=True))


def task_rows(view: TargetView) -> list[TaskRow]:
    """Return one row a target, in the order of the study."""
    finals = [(arm, view.final_of(arm)) for arm in view.arms]
    classical = view.references.get("classical", {})
    rows = []
    for task, name in view.task_names.items():
        scores = [[final(run) for run in arm.runs if run.task_id == task] if final else [] for arm, final in finals]
        trivial, top = view.returns[task]
        rows.append(
            TaskRow(
                task_id=task,
                task=name,
                trivial=trivial,
                top=top,
                classical=classical.get(task, float("nan")),
                specialist=view.ceilings.get(task, float("nan")),
                scores=tuple(float(np.mean(values)) if values else float("nan") for values in scores),
            )
        )
    return rows
