"""Units carried out: trained as Tune trials, evaluated as Ray tasks, published, ticked off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ray

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.outcome import read_curve, read_done
from roamrl.platform.study.candidates import variant_settings
from roamrl.platform.study.experts import publish_members
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.learn import Assignment, learn
from roamrl.platform.study.learners import arm_strategy, learner_spec, module_spec
from roamrl.platform.study.probe_rows import rows_until_chosen
from roamrl.platform.study.results import CURVES, LEARNING, RESULTS, read_parts, write_rows, write_table
from roamrl.platform.study.rows import Evaluation, Trained, curve_rows, learning_rows, result_rows
from roamrl.platform.study.scoring import Played, score_snapshots_remotely
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tuning import by_protocol
from roamrl.platform.study.units import Origin, Unit, arm_task, source_tasks

LEARNING_FILE = "learning.parquet"
"""File of the run that tells the tasks of pretraining apart; there is none where no policy learns on several."""


def carry_out(
    state: RunState,
    stage: Literal["pretrain", "tune", "adapt"],
    units: Sequence[tuple[Unit, str]],
    evaluations: Callable[[RunState, Unit], list[Evaluation]],
    beside: Sequence[Assignment] = (),
) -> None:
    """Train, evaluate, publish and tick off the units that are not finished.

    Args:
        state: The run.
        stage: The stage they belong to.
        units: Its units, each with its tuning protocol.
        evaluations: What to evaluate of a unit.
        beside: Units of a later stage, only trained here: that stage ticks them off, or tries them again.
    """
    state.progress.stage(stage)
    finished = state.folder.finished()
    open_units = [(unit, tuning) for unit, tuning in units if unit.key not in finished]
    ready = [(unit, tuning) for unit, tuning in open_units if _sources_there(state, unit, finished)]
    bundles: dict[str, PolicyBundle] = {}
    assignments = [Assignment(unit, _learner(state, unit, finished, bundles)) for unit, _ in ready]
    failures = learn(state.folder, stage, [*assignments, *beside], state.study.execution, state.progress)
    later = {assignment.unit.label for assignment in beside}
    state.failures += [failure for failure in failures if failure.unit not in later]
    waiting: dict[Any, tuple[Assignment, str, list[Evaluation]]] = {}
    for assignment, (unit, tuning) in zip(assignments, ready, strict=True):
        if read_done(state.folder.unit(unit.key)) is None:
            continue
        asked = evaluations(state, unit)
        jobs = [evaluation.job for evaluation in asked]
        settings = state.study.evaluation
        place = state.folder.unit(unit.key)
        reference = score_snapshots_remotely.options(name=f"evaluate {unit.stage} {unit.arm}").remote(
            place, jobs, seed=settings.seed, greedy=settings.greedy, traces=state.traces
        )
        waiting[reference] = (assignment, tuning, asked)
    as_completed(
        waiting,
        lambda context, played: _tick_off(state, context, played, finished),
        lambda context, error: _record_failure(state, context[0].unit, error),
    )
    if stage == "pretrain":
        _write_learning(state)


def _tick_off(
    state: RunState,
    context: tuple[Assignment, str, list[Evaluation]],
    played: list[Played],
    finished: Mapping[str, Mapping[str, Any]],
) -> None:
    assignment, tuning, asked = context
    unit, study = assignment.unit, state.study
    place = state.folder.unit(unit.key)
    done = read_done(place)
    assert done is not None  # checked before the evaluation was asked for
    trained = Trained(
        unit,
        place,
        assignment.learner,
        done,
        read_curve(place),
        tuple(tuple(finished[o.unit]["experts"][o.member] for o in member.origins) for member in unit.members),
        tuple(sum(steps_behind(finished, origin) for origin in member.origins) for member in unit.members),
    )
    experts: Sequence[str | None] = [None] * len(unit.members)
    if unit.stage != "tune":
        experts = publish_members(study, state.store, trained, asked, played, state.references)
    rows = result_rows(study, trained, asked, played, state.references, experts, tuning)
    rows = [*rows_until_chosen(study, unit, rows), *rows]
    if unit.stage == "adapt":
        rows = by_protocol(state.choices[unit.arm], unit.candidate, rows)
    write_rows(state.folder.part(unit.key), rows, RESULTS)
    if tuning == "fixed" or arm_strategy(study, unit.arm).pretrains_on == "targets":
        write_rows(state.folder.curves_part(unit.key), curve_rows(study, trained, tuning), CURVES)
    if unit.stage == "pretrain":
        _keep_learning(state, trained, experts)
    facts = {"stage": unit.stage, "arm": unit.arm, "tuning": tuning, "experts": list(experts)}
    spent = {"env_steps": done.env_steps, "windows": unit.steps, "wall_s": done.wall_s, "cpu_s": done.cpu_s}
    behind = {"pretrain_steps": list(trained.pretrain_steps), "peak_memory_mb": done.peak_memory_mb}
    state.folder.finish(unit.key, {**facts, **spent, **behind, "skipped": list(done.skipped)})
    state.progress.unit_done(unit.key, unit.label, unit.steps, done.wall_s)


def _keep_learning(state: RunState, trained: Trained, experts: Sequence[str | None]) -> None:
    """Keep what a unit learned by task as a part of the table; nothing of members of one task."""
    study, arm = state.study, trained.unit.arm
    if trained.curve.tasks is None:
        return
    tasks = {arm_task(study, arm, named.task).id: named for named in source_tasks(study, arm, state.splits)}
    write_rows(_learning_part(state, trained.unit.key), learning_rows(study, trained, tasks, experts), LEARNING)


def _write_learning(state: RunState) -> None:
    """Write the table from the parts of all finished units."""
    parts = [part for key in state.folder.finished() if (part := _learning_part(state, key)).exists()]
    if parts:
        order = [(name, "ascending") for name in ("arm", "seed", "unit", "expert_id", "task_name", "env_steps")]
        write_table(state.folder.path / LEARNING_FILE, read_parts(parts, LEARNING).sort_by(order))


def _learning_part(state: RunState, key: str) -> Path:
    return state.folder.part(key).with_suffix(".learning.parquet")


def steps_behind(finished: Mapping[str, Mapping[str, Any]], origin: Origin) -> int:
    """Return the environment steps of a finished policy, and of those it was made of."""
    entry = finished[origin.unit]
    return int(entry["env_steps"]) + int(entry["pretrain_steps"][origin.member] if "pretrain_steps" in entry else 0)


def _learner(
    state: RunState, unit: Unit, finished: Mapping[str, Mapping[str, Any]], bundles: dict[str, PolicyBundle]
) -> LearnerSpec:
    """Return the learner of a unit, its members' source policies taken from the store."""
    study = state.study
    adapting = unit.stage != "pretrain"
    settings = variant_settings(study, unit.arm, unit.candidate) if adapting else None
    strategy = arm_strategy(study, unit.arm, settings)
    members = []
    for member in unit.members:
        spec = member.base
        ids = [finished[origin.unit]["experts"][origin.member] for origin in member.origins]
        for expert_id in ids:
            if expert_id not in bundles:
                bundles[expert_id] = state.store.get(expert_id).bundle()
        sources = [bundles[expert_id] for expert_id in ids]
        if adapting and member.target is not None:
            spec = strategy.adapt(arm_task(study, unit.arm, member.target.task), sources, spec)
        elif sources:
            spec = strategy.consolidate(spec.tasks, sources, spec)
        members.append(spec)
    module = module_spec(study, unit.arm, members[0].tasks, adapting=adapting, sources=len(unit.members[0].origins))
    return learner_spec(study, unit.arm, module, members, unit.phases, unit.iterations, adapting=adapting)


def _sources_there(state: RunState, unit: Unit, finished: Mapping[str, Mapping[str, Any]]) -> bool:
    missing = {origin.unit for member in unit.members for origin in member.origins if origin.unit not in finished}
    if missing:
        names = ", ".join(sorted(key[:8] for key in missing))
        state.failures.append(Failure(unit.label, unit.stage, f"its source policies were not trained (units {names})"))
    return not missing


def _record_failure(state: RunState, unit: Unit, error: BaseException) -> None:
    reason = failure_reason(error)
    state.failures.append(Failure(unit.label, unit.stage, reason))
    state.progress.unit_failed(unit.key, unit.label, reason)


def as_completed(
    waiting: dict[Any, Any], done: Callable[[Any, Any], None], failed: Callable[[Any, BaseException], None]
) -> None:
    """Call back for every Ray task as it ends."""
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        context = waiting.pop(ready[0])
        try:
            value = ray.get(ready[0])
        except ray.exceptions.RayError as error:
            failed(context, error)
        else:
            done(context, value)
