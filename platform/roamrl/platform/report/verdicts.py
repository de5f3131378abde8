"""Who is better than whom, by how much, and whether the runs can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roamrl.platform.evaluation.statistics import (
    Bootstrap,
    Estimate,
    Floats,
    iqm_above,
    iqm_difference,
    permutation_p_value,
    probability_above,
    probability_of_improvement,
    sign_flip_p_value,
)
from roamrl.platform.report.arms import SPECIALIST, Arm, TargetRun, TargetView

Verdict = Literal["better", "worse", "not significant", "not tested"]
Measure = Literal["area", "final"]


@dataclass(frozen=True)
class Judgement:
    """Whether one sample is better than another.

    Attributes:
        verdict: Better or worse only if the interval of `probability` leaves out one half, that of `difference`
            leaves out zero on the same side, and the permutation test agrees at the same confidence; not tested
            where a task has a single run.
        difference: IQM of the first less IQM of the second.
        probability: Probability of improvement, P(first > second).
        p_value: Of the permutation test; NaN where it was not made.
    """

    verdict: Verdict
    difference: Estimate
    probability: Estimate
    p_value: float


@dataclass(frozen=True)
class Finding:
    """One comparison of an arm with another, or with a reference, on the targets of a split.

    Attributes:
        split: Split of the targets.
        tuning: Tuning protocol.
        measure: ``area`` under the adaptation curve, or ``final`` score.
        arm: The arm that is judged.
        other: What it is compared with.
        tasks: Number of tasks on which both are known.
        judgement: The outcome.
    """

    split: str
    tuning: str
    measure: Measure
    arm: str
    other: str
    tasks: int
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """The outcome in a word."""
        return self.judgement.verdict


def compare_samples(ours: Sequence[Floats], theirs: Sequence[Floats], bootstrap: Bootstrap) -> Judgement:
    """Judge two samples with one array of runs a task, the tasks in the same order."""
    probability = probability_of_improvement(ours, theirs, bootstrap)
    p_value = permutation_p_value(ours, theirs, bootstrap) if probability.has_interval else float("nan")
    return _judgement(iqm_difference(ours, theirs, bootstrap), probability, p_value, bootstrap.confidence)


def compare_with_levels(ours: Sequence[Floats], levels: Sequence[float], bootstrap: Bootstrap) -> Judgement:
    """Judge a sample against a policy without seeds, which has one number a task."""
    probability = probability_above(ours, levels, bootstrap)
    differences = [stratum - level for stratum, level in zip(ours, levels, strict=True)]
    p_value = sign_flip_p_value(differences, bootstrap) if probability.has_interval else float("nan")
    return _judgement(iqm_above(ours, levels, bootstrap), probability, p_value, bootstrap.confidence)


def _judgement(difference: Estimate, probability: Estimate, p_value: float, confidence: float) -> Judgement:
    verdict: Verdict = "not significant"
    if not (probability.has_interval and difference.has_interval):
        verdict = "not tested"
    elif p_value <= 1.0 - confidence:
        if probability.low > 0.5 and difference.low > 0.0:
            verdict = "better"
        elif probability.high < 0.5 and difference.high < 0.0:
            verdict = "worse"
    return Judgement(verdict, difference, probability, p_value)


def judge(view: TargetView, measure: Measure, arm: Arm, other: Arm, bootstrap: Bootstrap) -> Finding | None:
    """Compare two arms on the tasks both met; None if one lacks the measure or they share no task."""
    mine, theirs = measured(view, measure, arm), measured(view, measure, other)
    tasks = [task for task in arm.tasks if task in other.tasks]
    if mine is None or theirs is None or not tasks:
        return None
    judgement = compare_samples(arm.strata(mine, tasks), other.strata(theirs, tasks), bootstrap)
    return Finding(view.split, view.tuning, measure, arm.name, other.name, len(tasks), judgement)


def judge_reference(view: TargetView, arm: Arm, name: str, bootstrap: Bootstrap) -> Finding | None:
    """Compare an arm's final score with a reference's (or the specialist's); None where there is none."""
    scores = view.ceilings if name == SPECIALIST else view.references.get(name, {})
    mine = view.final_of(arm)
    tasks = [task for task in arm.tasks if task in scores]
    if mine is None or not tasks:
        return None
    judgement = compare_with_levels(arm.strata(mine, tasks), [scores[task] for task in tasks], bootstrap)
    return Finding(view.split, view.tuning, "final", arm.name, name, len(tasks), judgement)


def measured(view: TargetView, measure: Measure, arm: Arm) -> Callable[[TargetRun], float] | None:
    """Return what gives a run's number by a measure; None where the arm lacks it."""
    return view.area_of(arm) if measure == "area" else view.final_of(arm)
