"""Runs by arm: what a report compares, one view for each split of targets and each tuning protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from roamrl.platform.evaluation.normalisation import BY_ORACLE, Yardstick
from roamrl.platform.evaluation.normalisation import is_specialist as is_specialist
from roamrl.platform.evaluation.statistics import area_under_adaptation_curve, iqm
from roamrl.platform.report.run_data import Row, RunData, TrainingCurve, first_seen

Floats = npt.NDArray[np.float64]

SPECIALIST = "specialist"
SCRATCH = "scratch"
SIMPLE_STRATEGIES = (SCRATCH, "joint")
"""Strategies that transfer has to beat to be worth its trouble."""

TUNING_WORDS = {
    "fixed": "step sizes fixed once on the validation split",
    "per-n": "step sizes chosen for each number of episodes on the validation split",
    "none": "one setting, not tuned",
}


@dataclass(frozen=True)
class TargetRun:
    """One run of an arm on one target: a curve over target episodes; all arrays [K], `episodes` increasing."""

    task_id: str
    task_name: str
    seed: int
    source_ids: tuple[str, ...]
    episodes: Floats
    env_steps: Floats
    score: Floats
    violation_adapting: Floats
    pretrain_env_steps: float
    wall_s: float
    cpu_s: float

    def score_at(self, episodes: float) -> float:
        """Return the score after so many target episodes; the run must have been evaluated there."""
        return float(self.score[np.flatnonzero(self.episodes == episodes)[0]])


@dataclass(frozen=True)
class Arm:
    """An arm on the targets of one split.

    Attributes:
        name: The arm's name in the study.
        strategy: Its strategy.
        runs: One a (task, seed).
    """

    name: str
    strategy: str
    runs: tuple[TargetRun, ...]

    @cached_property
    def points(self) -> tuple[float, ...]:
        """Numbers of target episodes at which every run was evaluated."""
        shared = set(self.runs[0].episodes.tolist())
        for run in self.runs[1:]:
            shared &= set(run.episodes.tolist())
        return tuple(sorted(shared))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Ids of its tasks."""
        return tuple(first_seen(run.task_id for run in self.runs))

    @property
    def adapts(self) -> bool:
        """Whether it was evaluated at more than one number of target episodes."""
        return len(self.points) > 1

    @property
    def simple(self) -> bool:
        """Whether it is one of the simple ways that transfer has to beat."""
        return self.strategy in SIMPLE_STRATEGIES

    @property
    def least_seeds(self) -> int:
        """Runs on the task that has the fewest."""
        return min(sum(run.task_id == task for run in self.runs) for task in self.tasks)

    def strata(self, value: Callable[[TargetRun], float], tasks: Sequence[str] | None = None) -> list[Floats]:
        """Return a number of each run as one array a task, in the order of `tasks` (all by default)."""
        wanted = self.tasks if tasks is None else tasks
        return [np.array([value(run) for run in self.runs if run.task_id == task]) for task in wanted]

    def curves(self, points: Sequence[float]) -> list[Floats]:
        """Return the runs' scores at the points as one array [n_s, K] a task."""
        return [
            np.array([[run.score_at(n) for n in points] for run in self.runs if run.task_id == task])
            for task in self.tasks
        ]


@dataclass(frozen=True)
class TargetView:
    """The targets of one split under one tuning protocol.

    Attributes:
        split: Name of the split.
        tuning: Tuning protocol: fixed, per-n, or none.
        arms: Arms that met the targets, the specialist aside.
        ceilings: The specialist's score by task id (the mean over its seeds of their last evaluation).
        references: Scores by reference, then task id.
        returns: J_trivial and the return that counts as 1 by task id.
        task_names: Names by task id.
        training: Training curves by arm.
        until: Target episodes beyond which nothing is looked at; None for no limit.
        yardstick: What scores are measured against.
    """

    split: str
    tuning: str
    arms: tuple[Arm, ...]
    ceilings: dict[str, float]
    references: dict[str, dict[str, float]]
    returns: dict[str, tuple[float, float]]
    task_names: dict[str, str]
    training: dict[str, list[TrainingCurve]]
    until: float | None = None
    yardstick: Yardstick = BY_ORACLE

    @cached_property
    def span(self) -> tuple[float, float] | None:
        """First and last number of target episodes that all adapting arms share; None if no arm adapts."""
        adapting = [arm for arm in self.arms if arm.adapts]
        if not adapting:
            return None
        first, last = max(arm.points[0] for arm in adapting), min(arm.points[-1] for arm in adapting)
        last = last if self.until is None else min(last, self.until)
        return (first, last) if last > first else None

    @property
    def scratch(self) -> Arm | None:
        """The arm that learns from nothing."""
        return next((arm for arm in self.arms if arm.strategy == SCRATCH), None)

    def shared_points(self, arm: Arm) -> list[float]:
        """Return an arm's evaluation points within the shared span."""
        if self.span is None:
            return []
        return [n for n in arm.points if self.span[0] <= n <= self.span[1]]

    def area_of(self, arm: Arm) -> Callable[[TargetRun], float] | None:
        """Return what gives a run's area under the adaptation curve; None where the arm does not adapt."""
        points = self.shared_points(arm)
        if len(points) < 2:
            return None
        return lambda run: float(area_under_adaptation_curve(points, [run.score_at(n) for n in points]))

    def final_of(self, arm: Arm) -> Callable[[TargetRun], float] | None:
        """Return what gives a run's score at the end of the shared span; None where it has none there."""
        if self.span is None:
            return None
        last = self.span[1]
        return (lambda run: run.score_at(last)) if last in arm.points else None

    def reference_level(self, name: str) -> float:
        """Return the IQM over tasks of a reference's score, or of the specialist's; NaN if there is none."""
        scores = self.ceilings if name == SPECIALIST else self.references.get(name, {})
        values = [scores[task] for task in self.task_names if task in scores]
        return float(iqm(values)) if values else float("nan")


def target_splits(run: RunData) -> list[str]:
    """Return the splits of targets: the tutorial's two first, then in the study's order."""
    named = run.study.get("targets")
    listed = [str(name) for name in named] if isinstance(named, list) else []
    seen = first_seen(row.split for row in run.rows if row.stage == "adapt" and row.split != run.val)
    splits = [name for name in [*listed, *(split for split in seen if split not in listed)] if name in seen]
    first = [name for name in ("similar", "different") if name in splits]
    return first + [name for name in splits if name not in first]


def tuning_protocols(run: RunData) -> list[str]:
    """Return the tuning protocols that the runs on targets were made under, the fixed one first.

    The other one is left out where it chose the same: its results are then the first's once more.
    """
    seen = {row.tuning for row in run.rows if row.stage == "adapt" and row.split != run.val}
    if tuning_agrees(run):
        return ["fixed"]
    return [name for name in ("fixed", "per-n") if name in seen] or ["none"]


def tuning_agrees(run: RunData) -> bool:
    """Return whether there are two tuning protocols, and they chose the same for every arm on every target."""
    met = [row for row in run.rows if row.stage == "adapt" and row.split != run.val]
    once, per_n = (
        {(row.unit, row.task_id, row.seed, row.episodes, row.score) for row in met if row.tuning == tuning}
        for tuning in ("fixed", "per-n")
    )
    return bool(once and per_n) and per_n <= once


def target_views(run: RunData) -> list[TargetView]:
    """Return one view a tuning protocol and split of targets, protocol-major."""
    return [_view(run, split, tuning) for tuning in tuning_protocols(run) for split in target_splits(run)]


def _view(run: RunData, split: str, tuning: str) -> TargetView:
    rows = [row for row in run.rows if row.split == split]
    tasks = {row.task_id: row.task_name for row in rows if row.stage == "adapt"}
    here = [row for row in run.rows if row.task_id in tasks]
    names = first_seen(row.arm for row in rows if row.stage in ("adapt", "pretrain") and not is_specialist(row))
    found = [arm for name in names if (arm := _arm(name, rows, tuning)) is not None]
    arms = sorted(found, key=lambda arm: (arm.strategy != SCRATCH, not arm.simple))
    return TargetView(
        split=split,
        tuning=tuning,
        arms=tuple(arms),
        ceilings=_ceilings(here),
        references=_references(here),
        returns={task: run.tops[task] for task in tasks},
        task_names=tasks,
        training={arm.name: _training(run.curves, arm.name, split, tuning) for arm in arms},
        yardstick=run.yardstick,
    )


def _training(curves: Iterable[TrainingCurve], arm: str, split: str, tuning: str) -> list[TrainingCurve]:
    mine = [curve for curve in curves if curve.arm == arm and curve.split == split]
    chosen = _chosen_tuning(first_seen(curve.tuning for curve in mine), tuning)
    return [curve for curve in mine if curve.tuning == chosen]


def _chosen_tuning(present: Sequence[str], wanted: str) -> str | None:
    """Return the protocol that stands for `wanted`: itself, else the untuned one, else none at all."""
    return next((name for name in (wanted, "none") if name in present), None)


def _arm(name: str, rows: Iterable[Row], tuning: str) -> Arm | None:
    """Gather an arm's runs; an arm that never adapts is what its pretrained policies do at n = 0."""
    mine = [row for row in rows if row.arm == name]
    met = [row for row in mine if row.stage == "adapt"] or [row for row in mine if row.stage == "pretrain"]
    chosen = _chosen_tuning(first_seen(row.tuning for row in met), tuning)
    met = [row for row in met if row.tuning == chosen]
    if not met:
        return None
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in met:
        policy = (row.expert_id or "") if row.stage == "pretrain" else ""
        groups.setdefault((row.task_id, row.seed, policy), []).append(row)
    return Arm(name, met[0].strategy, tuple(_run(group) for group in groups.values()))


def _run(group: list[Row]) -> TargetRun:
    zero_shot = group[0].stage == "pretrain"
    ordered = [group[-1]] if zero_shot else sorted({row.episodes: row for row in group}.values(), key=_episodes)
    last = ordered[-1]
    return TargetRun(
        task_id=last.task_id,
        task_name=last.task_name,
        seed=last.seed,
        source_ids=last.source_ids or ((last.expert_id,) if zero_shot and last.expert_id else ()),
        episodes=np.array([0.0 if zero_shot else row.episodes for row in ordered]),
        env_steps=np.array([0.0 if zero_shot else row.env_steps for row in ordered]),
        score=np.array([row.score for row in ordered]),
        violation_adapting=np.array([row.violation_adapting for row in ordered]),
        pretrain_env_steps=last.env_steps if zero_shot else last.pretrain_env_steps,
        wall_s=0.0 if zero_shot else last.wall_s,
        cpu_s=0.0 if zero_shot else last.cpu_s,
    )


def _episodes(row: Row) -> float:
    return row.episodes


def _ceilings(rows: Iterable[Row]) -> dict[str, float]:
    """Return by task the mean over seeds of the specialist's last score."""
    last: dict[tuple[str, int], Row] = {}
    for row in rows:
        key = (row.task_id, row.seed)
        if is_specialist(row) and (key not in last or row.env_steps >= last[key].env_steps):
            last[key] = row
    scores: dict[str, list[float]] = {}
    for (task, _), row in last.items():
        scores.setdefault(task, []).append(row.score)
    return {task: float(np.mean(values)) for task, values in scores.items()}


def _references(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.stage == "reference":
            found.setdefault(row.arm, {})[row.task_id] = row.score
    return found
