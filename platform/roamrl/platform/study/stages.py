"""The stages of a run: references, pretraining, tuning on val, adaptation."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from roamrl.envs.family import get_family
from roamrl.platform.evaluation.references import ReferenceReturns, default_cache
from roamrl.platform.study.candidates import Candidate, candidate_json, candidates
from roamrl.platform.study.carry_out import as_completed, carry_out
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.gap_stage import gap_assignments
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.results import RESULTS, Result, write_rows
from roamrl.platform.study.rows import Evaluation, reference_rows
from roamrl.platform.study.schema import Study
from roamrl.platform.study.scoring import Job, score_references_remotely
from roamrl.platform.study.state import Dropped, RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.tuning import Choice, choose_candidate
from roamrl.platform.study.units import (
    Unit,
    adapt_units,
    arm_task,
    chooses,
    consolidation_units,
    policies_of,
    pretrain_units,
)

LEAST_GAP = 0.05
"""Least J_oracle - J_trivial a step for a task to tell policies apart (PROTOCOL 2)."""


def reference_stage(state: RunState) -> None:
    """Score the references on every task that results are reported on, and leave out tasks that tell nothing."""
    state.progress.stage("references")
    study = state.study
    wanted = {named.task.id: named for split in dict.fromkeys(study.used_splits) for named in state.splits[split]}
    waiting: dict[Any, NamedTask] = {}
    for named in wanted.values():
        state.progress.unit_started(f"reference-{named.task.id}", f"references {named.name}")
        waiting[
            score_references_remotely.options(name=f"references {named.split}").remote(
                named.task,
                episodes=study.evaluation.final_episodes,
                seed=study.evaluation.seed,
                traces=state.traces,
                cache=default_cache(),
            )
        ] = named
    as_completed(
        waiting,
        lambda named, returns: _keep_references(state, named, returns),
        lambda named, error: _references_failed(state, named, error),
    )


def pretrain(state: RunState) -> None:
    """Train and publish what strategies need before they meet a target; arms that pretrain alike share units.

    What only the generalisation gap asks for trains beside it, since processes that run trials take seconds to start.
    """
    units: dict[str, Unit] = {}
    for arm in state.study.arms:
        own = pretrain_units(state.study, arm, state.splits, state.targets)
        for unit in own:
            units.setdefault(unit.key, unit)
        state.policies[arm] = policies_of(own)
    untuned = [(unit, "none") for unit in units.values()]
    carry_out(state, "pretrain", untuned, _pretrain_evaluations, beside=gap_assignments(state))
    consolidated = []
    for arm in state.study.arms:
        if arm_strategy(state.study, arm).consolidates:
            own = consolidation_units(state.study, arm, state.policies[arm])
            state.policies[arm] = policies_of(own)
            consolidated += own
    if consolidated:
        carry_out(state, "pretrain", [(unit, "none") for unit in consolidated], _pretrain_evaluations)


def tune(state: RunState) -> None:
    """Choose every arm's step size, and settings where it has variants of them, on val."""
    study = state.study
    units = [
        unit
        for arm in study.arms
        if arm in state.chosen or not chooses(study, arm)  # what could not choose is among the failures
        for candidate in candidates(study, arm)
        for unit in adapt_units(
            study, "tune", arm, state.val, state.policies[arm], candidate, study.adapt.tune.up_to, state.chosen.get(arm)
        )
    ]
    carry_out(state, "tune", [(unit, "candidate") for unit in units], _point_evaluations)
    finished = state.folder.finished()
    rows: dict[str, dict[Candidate, list[Result]]] = {}
    for unit in units:
        if unit.key in finished:
            part = pq.read_table(state.folder.part(unit.key), schema=RESULTS).to_pylist()
            rows.setdefault(unit.arm, {}).setdefault(unit.candidate, []).extend(Result(**row) for row in part)
    state.choices = {arm: choose_candidate(found) for arm, found in rows.items()}
    for arm, choice in state.choices.items():
        if any(points.keys() != choice.per_point.keys() for points in choice.curves.values()):
            state.failures.append(
                Failure(f"tune {arm}", "tune", "some candidates lack points; the choice is uncertain")
            )
    state.folder.write_json("tuning.json", {arm: _choice_json(study, arm, own) for arm, own in state.choices.items()})


def adapt(state: RunState) -> None:
    """Let every arm meet every target with what was chosen on val."""
    study = state.study
    units: list[tuple[Unit, str]] = []
    for arm, choice in state.choices.items():
        for own in choice.chosen:
            fixed = own == choice.fixed
            last = None if fixed else choice.last_of(own)
            made = adapt_units(
                study, "adapt", arm, state.targets, state.policies[arm], own, last, state.chosen.get(arm)
            )
            units += [(unit, "fixed" if fixed else "per-n") for unit in made]
    carry_out(state, "adapt", units, _point_evaluations)


def _choice_json(study: Study, arm: str, choice: Choice) -> dict[str, Any]:
    return {
        "fixed": candidate_json(study, arm, choice.fixed),
        "per_n": {point: candidate_json(study, arm, own) for point, own in choice.per_point.items()},
        "val": [{**candidate_json(study, arm, own), "curve": dict(c)} for own, c in choice.curves.items()],
    }


def _pretrain_evaluations(state: RunState, unit: Unit) -> list[Evaluation]:
    """Each policy at its end, on its own task and on every task of val."""
    study, last = state.study, unit.iterations[-1]
    everyone = tuple(range(len(unit.members)))
    own = tuple(
        (number, member.target)
        for number, member in enumerate(unit.members)
        if member.target is not None and member.target.task.id in state.references
    )
    asked = [(named,) * len(everyone) for named in state.val]
    found = [
        _evaluation(study, unit, last, len(unit.points) - 1, everyone, tasks, study.evaluation.episodes)
        for tasks in asked
    ]
    if own:
        numbers = tuple(number for number, _ in own)
        tasks = tuple(target for _, target in own)
        episodes = study.evaluation.final_episodes
        found.append(_evaluation(study, unit, last, len(unit.points) - 1, numbers, tasks, episodes))
    return found


def _point_evaluations(state: RunState, unit: Unit) -> list[Evaluation]:
    """Each policy at every point, on its own target; more episodes at the ends of the curves that are reported."""
    study = state.study
    everyone = tuple(range(len(unit.members)))
    tasks = tuple(member.target for member in unit.members if member.target is not None)
    lasts = {arm.up_to or study.adapt.episodes[-1] for arm in study.arms.values()}
    ends = {unit.points[0], *lasts} if unit.stage == "adapt" else set()
    return [
        _evaluation(
            study,
            unit,
            iteration,
            point,
            everyone,
            tasks,
            study.evaluation.final_episodes if unit.points[point] in ends else study.evaluation.episodes,
        )
        for point, iteration in enumerate(unit.iterations)
    ]


def _evaluation(
    study: Study,
    unit: Unit,
    iteration: int,
    point: int,
    members: tuple[int, ...],
    tasks: tuple[NamedTask, ...],
    episodes: int,
) -> Evaluation:
    seen = tuple(arm_task(study, unit.arm, named.task) for named in tasks)
    return Evaluation(Job(iteration, members, seen, episodes), point, tasks)


def _keep_references(state: RunState, named: NamedTask, returns: ReferenceReturns) -> None:
    study = state.study
    gap = returns.gap(get_family(study.family).episode_steps(dict(named.task.config)))
    key = f"reference-{named.task.id}"
    if gap < LEAST_GAP:
        state.dropped.append(Dropped(named.name, named.split, gap))
    else:
        state.references[named.task.id] = returns
        if key not in state.folder.finished():
            write_rows(state.folder.part(key), reference_rows(study, named, returns), RESULTS)
            state.folder.finish(key, {"stage": "reference"})
    state.progress.unit_done(key, f"references {named.name}", 0, 0.0)


def _references_failed(state: RunState, named: NamedTask, error: BaseException) -> None:
    reason = failure_reason(error)
    state.failures.append(Failure(f"references {named.name}", "reference", reason))
    state.progress.unit_failed(f"reference-{named.task.id}", f"references {named.name}", reason)
