"""From what a unit's policies got to rows of the results table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.outcome import Curve, LearnerDone
from roamrl.envs.family import get_family
from roamrl.platform.evaluation.references import ROLES, ReferenceReturns
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.study.results import CurvePoint, LearningPoint, Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.scoring import Job, Played
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Member, Probes, Unit


@dataclass(frozen=True)
class Evaluation:
    """A job of a unit, with the tasks by name and the point it belongs to.

    Attributes:
        job: What is played.
        point: Place among the unit's points.
        tasks: Task of each of the job's members.
    """

    job: Job
    point: int
    tasks: tuple[NamedTask, ...]


@dataclass(frozen=True)
class Trained:
    """A trained unit: what its learner left behind, and what its members drew on.

    Attributes:
        unit: The unit.
        folder: Its folder.
        learner: Its learner.
        done: Its mark of completion.
        curve: Its training curve.
        sources: Ids of the experts each member drew on.
        pretrain_steps: Environment steps spent on those experts and on what they were made of, by member.
    """

    unit: Unit
    folder: Path
    learner: LearnerSpec
    done: LearnerDone
    curve: Curve
    sources: tuple[tuple[str, ...], ...]
    pretrain_steps: tuple[int, ...]


def result_rows(
    study: Study,
    trained: Trained,
    evaluations: Sequence[Evaluation],
    played: Sequence[Played],
    references: Mapping[str, ReferenceReturns],
    experts: Sequence[str | None],
    tuning: str,
) -> list[Result]:
    """Return one row for each evaluated (member, task, point).

    Args:
        study: The study.
        trained: The unit.
        evaluations: What was played.
        played: What it gave.
        references: Reference returns by task id.
        experts: Id of the expert that each member's last snapshot was published as.
        tuning: Tuning protocol of the unit's step size.
    """
    rows = []
    unit = trained.unit
    for evaluation, result in zip(evaluations, played, strict=True):
        steps = trained.learner.member_steps(evaluation.job.iteration)
        share = steps / trained.done.env_steps / len(unit.members)
        last = evaluation.job.iteration == unit.iterations[-1]
        for place, number in enumerate(evaluation.job.members):
            member, named = unit.members[number], evaluation.tasks[place]
            on_target = member.target is not None and named.task == member.target.task
            reference = references[named.task.id]
            returns = result.returns[place]
            rows.append(
                Result(
                    study=study.name,
                    unit=unit.key,
                    stage=unit.stage,
                    arm=unit.arm,
                    strategy=study.arms[unit.arm].strategy,
                    family=study.family,
                    family_config_hash=named.task.config_hash,
                    task_id=named.task.id,
                    task_name=named.name,
                    split=named.split,
                    split_hash=named.split_hash,
                    tuning=tuning,
                    seed=member.seed,
                    source_ids=trained.sources[number],
                    env_steps=steps + _probed_steps(member),
                    pretrain_env_steps=trained.pretrain_steps[number],
                    episodes=_episodes(unit, evaluation, named) if on_target else 0,
                    return_mean=float(returns.mean()),
                    return_trivial=reference.mean("trivial", len(returns)),
                    return_oracle=reference.mean("oracle", len(returns)),
                    score=reference.score(returns),
                    score_error=reference.score_error(returns),
                    violation_rate=float(result.violation_rate[place].mean()),
                    violation_adapting=_violation_so_far(trained, number, evaluation.job.iteration),
                    eval_episodes=len(returns),
                    wall_s=trained.done.wall_s * share,
                    cpu_s=trained.done.cpu_s * share,
                    expert_id=experts[number] if last else None,
                    commit=source_commit(),
                    peak_memory_mb=trained.done.peak_memory_mb,
                )
            )
    return rows


def reference_rows(study: Study, named: NamedTask, reference: ReferenceReturns) -> list[Result]:
    """Return the rows of a task's references."""
    episodes = study.evaluation.final_episodes
    trivial, oracle = reference.mean("trivial", episodes), reference.mean("oracle", episodes)
    family = get_family(study.family)
    return [
        Result(
            study=study.name,
            unit=f"reference-{named.task.id}",
            stage="reference",
            arm=role,
            strategy=family.reference(dict(named.task.config), role).name,
            family=study.family,
            family_config_hash=named.task.config_hash,
            task_id=named.task.id,
            task_name=named.name,
            split=named.split,
            split_hash=named.split_hash,
            tuning="none",
            seed=0,
            source_ids=(),
            env_steps=0,
            pretrain_env_steps=0,
            episodes=0,
            return_mean=reference.mean(role, episodes),
            return_trivial=trivial,
            return_oracle=oracle,
            score=reference.score(reference.returns[role][:episodes]),
            score_error=reference.score_error(reference.returns[role][:episodes]),
            violation_rate=reference.violation_rate[role],
            violation_adapting=float("nan"),
            eval_episodes=episodes,
            wall_s=0.0,
            cpu_s=0.0,
            expert_id=None,
            commit=source_commit(),
        )
        for role in ROLES
        if role in reference.returns
    ]


def curve_rows(study: Study, trained: Trained, tuning: str) -> list[CurvePoint]:
    """Return one row a member and iteration of training on a target in which an episode ended."""
    unit, curve = trained.unit, trained.curve
    rates = curve.measures.get("violation_rate", np.full_like(curve.return_mean, np.nan))
    rows = []
    for number, member in enumerate(unit.members):
        if member.target is None:
            continue
        if member.probes is not None:
            rows.append(_probe_point(study, unit, member, member.target, member.probes, tuning))
        probed = member.probes.episodes if member.probes else 0
        for at in np.flatnonzero(np.isfinite(curve.return_mean[:, number])):
            rows.append(
                CurvePoint(
                    unit=unit.key,
                    arm=unit.arm,
                    strategy=study.arms[unit.arm].strategy,
                    task_id=member.target.task.id,
                    task_name=member.target.name,
                    split=member.target.split,
                    tuning=tuning,
                    seed=member.seed,
                    episodes=int(curve.episodes[at]) + probed,
                    env_steps=int(curve.env_steps[at]) + _probed_steps(member),
                    return_mean=float(curve.return_mean[at, number]),
                    violation_rate=float(rates[at, number]),
                )
            )
    return rows


def learning_rows(
    study: Study, trained: Trained, tasks: Mapping[str, NamedTask], experts: Sequence[str | None]
) -> list[LearningPoint]:
    """Return one row a member, task and stretch of training in which an episode ended; none for members of one task.

    Args:
        study: The study.
        trained: The unit.
        tasks: What tasks are reported as, by their id as the unit's members see them.
        experts: Id of the expert that each member was published as.
    """
    unit, curve = trained.unit, trained.curve.tasks
    if curve is None:
        return []
    rows = []
    for at, number, place in np.argwhere(curve.ended > 0):
        member = unit.members[number]
        named = tasks[member.base.tasks[place].id]
        rows.append(
            LearningPoint(
                unit=unit.key,
                arm=unit.arm,
                strategy=study.arms[unit.arm].strategy,
                seed=member.seed,
                expert_id=experts[number],
                iteration=int(curve.iteration[at]),
                env_steps=int(curve.env_steps[at]),
                task_id=named.task.id,
                task_name=named.name,
                split=named.split,
                episodes=int(curve.ended[at, number, place]),
                return_mean=float(curve.return_mean[at, number, place]),
            )
        )
    return rows


def _episodes(unit: Unit, evaluation: Evaluation, named: NamedTask) -> int:
    if unit.stage != "pretrain":
        return unit.points[evaluation.point]
    steps = get_family(named.task.family).typical_episode_steps(dict(named.task.config))
    return unit.points[evaluation.point] // steps


def _violation_so_far(trained: Trained, member: int, iteration: int) -> float:
    """Return the mean violation rate of all steps on the target so far, probes and learning; NaN of none."""
    rates = trained.curve.measures.get("violation_rate")
    if rates is None:
        return float("nan")
    spent, weights = rates[:iteration, member], np.diff(trained.curve.env_steps[:iteration], prepend=0)
    probes = trained.unit.members[member].probes
    if probes is not None:
        spent = np.append(spent, probes.violation_rate)
        weights = np.append(weights, _probed_steps(trained.unit.members[member]))
    return float(np.average(spent, weights=weights)) if len(spent) else float("nan")


def _probed_steps(member: Member) -> int:
    """Return the environment steps on the target that went into choosing the member's source."""
    if member.probes is None or member.target is None:
        return 0
    task = member.target.task
    return member.probes.episodes * get_family(task.family).typical_episode_steps(dict(task.config))


def _probe_point(
    study: Study, unit: Unit, member: Member, target: NamedTask, probes: Probes, tuning: str
) -> CurvePoint:
    """Return what the target got while the sources were probed, as the first point of the training curve."""
    return CurvePoint(
        unit=unit.key,
        arm=unit.arm,
        strategy=study.arms[unit.arm].strategy,
        task_id=target.task.id,
        task_name=target.name,
        split=target.split,
        tuning=tuning,
        seed=member.seed,
        episodes=probes.episodes,
        env_steps=_probed_steps(member),
        return_mean=probes.return_mean,
        violation_rate=probes.violation_rate,
    )
