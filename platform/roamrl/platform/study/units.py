"""Units: the pieces of a study that are run, resumed and counted, each keyed by what determines its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from roamrl.algorithms.learner_spec import MemberSpec, Phase, PPOSettings, episode_phases, steady_phases
from roamrl.algorithms.strategy import Strategy, make_strategy
from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.task import Task
from roamrl.platform.study.schema import PretrainEntry, Study
from roamrl.platform.study.tasks import NamedTask

Stage = Literal["pretrain", "tune", "adapt"]


@dataclass(frozen=True)
class Origin:
    """Where an initial policy comes from: a member of a pretraining unit."""

    unit: str
    member: int


@dataclass(frozen=True)
class Member:
    """One member of a unit.

    Attributes:
        base: Its learner; when adapting, what the strategy builds on once the source policies are at hand.
        target: The task it is reported under; None for a policy of many tasks.
        seed: Number of the repetition, 0, 1, ..
        origins: The policies it draws on, the chosen one first.
    """

    base: MemberSpec
    target: NamedTask | None
    seed: int
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Unit:
    """Members trained together, and the points at which they are kept.

    Attributes:
        stage: Stage of the study.
        arm: Arm it was first made for (arms that pretrain alike share units).
        members: The members.
        phases: The rollout plan.
        points: Points kept: target episodes when adapting, environment steps a member when pretraining.
        iterations: Iteration after which each point is reached.
        lr: Step size of all its members.
        key: sha256 of everything that determines the result.
    """

    stage: Stage
    arm: str
    members: tuple[Member, ...]
    phases: tuple[Phase, ...]
    points: tuple[int, ...]
    iterations: tuple[int, ...]
    lr: float
    key: str

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{self.stage} {self.arm} {self.key[:8]}"

    @property
    def steps(self) -> int:
        """Environment steps of all members together."""
        return len(self.members) * sum(phase.iterations * phase.rows for phase in self.phases)


def arm_strategy(study: Study, arm: str) -> Strategy[Any]:
    """Return an arm's strategy, made with its settings."""
    entry = study.arms[arm]
    return make_strategy(entry.strategy, entry.settings)


def arm_task(study: Study, arm: str, task: Task) -> Task:
    """Return a task as an arm's policies see it: with the arm's own family config."""
    overrides = study.arms[arm].config
    if not overrides:
        return task
    return get_family(study.family).task(dict(task.context), {**dict(task.config), **overrides})


def ppo_settings(study: Study) -> PPOSettings:
    """Return the shared settings of the loss as the engine takes them."""
    return PPOSettings(**study.ppo.model_dump())


def pretrain_units(
    study: Study, arm: str, splits: Mapping[str, Sequence[NamedTask]], targets: Sequence[NamedTask]
) -> list[Unit]:
    """Return the units that train an arm's policies before any target is met, members in seed-major order."""
    strategy = arm_strategy(study, arm)
    if strategy.pretrains_on == "nothing":
        return []
    tasks = targets if strategy.pretrains_on == "targets" else source_tasks(study, arm, splits)
    settings = PretrainEntry.model_validate({**study.pretrain.model_dump(), **study.arms[arm].pretrain})
    base = MemberSpec(0, (), None, "all", 0, settings.lr, settings.entropy_coeff, settings.clip, settings.max_grad_norm)
    names = {arm_task(study, arm, named.task): named for named in tasks}
    members = []
    for number in range(settings.seeds):
        for spec in strategy.pretrain(list(names), base):
            seed = _derive(study, "pretrain", number, spec.tasks)
            target = names[spec.tasks[0]] if len(spec.tasks) == 1 else None
            members.append(Member(replace(spec, seed=seed), target, number))
    phases = steady_phases(settings.steps, settings.envs_per_member, settings.length)
    iterations = phases[0].iterations
    return _cut(study, "pretrain", arm, members, phases, (iterations * phases[0].rows,), (iterations,), settings.lr)


def source_tasks(study: Study, arm: str, splits: Mapping[str, Sequence[NamedTask]]) -> Sequence[NamedTask]:
    """Return the tasks an arm pretrains on.

    Raises:
        InputError: If its strategy needs source tasks and the arm names none.
    """
    entry = study.arms[arm]
    if entry.sources is None:
        raise InputError(f"arm {arm!r}: strategy {entry.strategy!r} pretrains; name a split with 'sources: SPLIT'")
    return splits[entry.sources]


def adapt_units(
    study: Study,
    stage: Literal["tune", "adapt"],
    arm: str,
    targets: Sequence[NamedTask],
    policies: Sequence[tuple[Origin, Member]],
    lr: float,
    up_to: int | None = None,
) -> list[Unit]:
    """Return the units in which an arm meets targets with one step size; none if its strategy does not adapt.

    Args:
        study: The study.
        stage: ``tune`` (on val) or ``adapt`` (on targets).
        arm: The arm.
        targets: The tasks to meet.
        policies: The arm's pretrained members, in the order of :func:`pretrain_units`.
        lr: Step size.
        up_to: Target episodes to stop at; None for the study's last point.
    """
    if not arm_strategy(study, arm).adapts or not targets:
        return []
    seeds = study.adapt.tune.seeds if stage == "tune" else study.adapt.seeds
    members = []
    for place, named in enumerate(targets):
        for number in range(seeds):
            base = MemberSpec(
                seed=_derive(study, stage, number, (named.task,)),
                lr=lr,
                entropy_coeff=study.adapt.entropy_coeff,
                clip=study.adapt.clip,
                max_grad_norm=study.adapt.max_grad_norm,
            )
            origins = choose_sources(study, arm, named.task, policies, place * seeds + number, number)
            members.append(Member(base, named, number, origins))
    points = tuple(point for point in study.adapt.episodes if up_to is None or point <= up_to)
    steps = get_family(study.family).episode_steps(dict(targets[0].task.config))
    phases, iterations = episode_phases(points, steps, study.adapt.per_iteration)
    return _cut(study, stage, arm, members, phases, points, iterations, lr)


def choose_sources(
    study: Study, arm: str, target: Task, policies: Sequence[tuple[Origin, Member]], turn: int, seed: int
) -> tuple[Origin, ...]:
    """Return the policies a member draws on, the chosen one first.

    Args:
        study: The study.
        arm: The arm; its ``choose`` says how.
        target: The task to be met.
        policies: The arm's pretrained members.
        turn: Number of this member among the arm's, for ``rotate``.
        seed: Number of the repetition.
    """
    if not policies:
        return ()
    if study.arms[arm].choose == "rotate" or all(member.target is None for _, member in policies):
        return (policies[turn % len(policies)][0],)
    family = get_family(study.family)
    wanted = family.features(target)
    distances = [np.linalg.norm(family.features(member.base.tasks[0]) - wanted) for _, member in policies]
    nearest = [policies[int(place)][0] for place in np.flatnonzero(np.isclose(distances, min(distances)))]
    return (nearest[seed % len(nearest)],)


def _derive(study: Study, stage: str, number: int, tasks: Sequence[Task]) -> int:
    """Return a training seed: the same for all arms on the same task, so that arms are compared in pairs."""
    digest = content_hash({"root": study.seed, "stage": stage, "number": number, "tasks": [task.id for task in tasks]})
    return int(digest[:7], 16)


def _cut(
    study: Study,
    stage: Stage,
    arm: str,
    members: Sequence[Member],
    phases: tuple[Phase, ...],
    points: tuple[int, ...],
    iterations: tuple[int, ...],
    lr: float,
) -> list[Unit]:
    """Cut members into units of nearly equal size, none above ``members_per_trial``."""
    pieces = -(-len(members) // study.execution.members_per_trial)
    bounds = [round(len(members) * piece / pieces) for piece in range(pieces + 1)]
    units = []
    for first, last in pairwise(bounds):
        block = tuple(members[first:last])
        key = _key(study, stage, arm, block, phases, points)
        units.append(Unit(stage, arm, block, phases, points, iterations, lr, key))
    return units


def _key(
    study: Study, stage: Stage, arm: str, members: Sequence[Member], phases: Sequence[Phase], points: Sequence[int]
) -> str:
    strategy = arm_strategy(study, arm)
    described = [
        {
            "base": {**asdict(replace(m.base, tasks=())), "tasks": [task.id for task in m.base.tasks]},
            "target": m.target.task.id if m.target else None,
            "origins": [asdict(origin) for origin in m.origins],
        }
        for m in members
    ]
    adapting = {"strategy": strategy.name, "settings": asdict(strategy.config), "config": study.arms[arm].config}
    return content_hash(
        {
            "stage": stage,
            "strategy": adapting if stage != "pretrain" else {},
            "members": described,
            "phases": [asdict(phase) for phase in phases],
            "points": list(points),
            "module": study.module.model_dump(),
            "ppo": study.ppo.model_dump(),
            "evaluation": study.evaluation.model_dump(),
        }
    )
