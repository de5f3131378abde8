"""Units: the pieces of a study that are run, resumed and counted, each keyed by what determines its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from roamrl.algorithms.learner_spec import MemberSpec, Phase, episode_phases, steady_phases
from roamrl.algorithms.meta_learning import MAMLSettings, ReptileSettings, check_whole_episodes
from roamrl.algorithms.transfer.selection.nearest import closeness
from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_of, get_family
from roamrl.envs.task import Task
from roamrl.platform.study.candidates import Candidate, variant_settings
from roamrl.platform.study.learners import arm_strategy, learner_settings, module_spec
from roamrl.platform.study.learning_entries import PretrainEntry
from roamrl.platform.study.results import Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask

Stage = Literal["pretrain", "tune", "adapt"]


@dataclass(frozen=True)
class Origin:
    """Where an initial policy comes from: a member of a pretraining unit."""

    unit: str
    member: int


@dataclass(frozen=True)
class Probes:
    """What probing every source on a target took and gave, before a member could begin to learn there.

    Attributes:
        episodes: Target episodes of all sources together.
        return_mean: Their mean return.
        violation_rate: Their mean violation rate.
        sources: What the sources are worth there as they are, on average: what the arm is worth until it has chosen.
    """

    episodes: int
    return_mean: float
    violation_rate: float
    sources: Result


@dataclass(frozen=True)
class Chosen:
    """The source that a member starts from, and what was spent on the target to find it (None for nothing)."""

    origin: Origin
    probes: Probes | None = None


@dataclass(frozen=True)
class Member:
    """One member of a unit.

    Attributes:
        base: Its learner; when adapting, what the strategy builds on once the source policies are at hand.
        target: The task it is reported under; None for a policy of many tasks.
        seed: Number of the repetition, 0, 1, ..
        origins: The policies it draws on, the chosen one first.
        probes: What its source was chosen by, where that took target episodes.
    """

    base: MemberSpec
    target: NamedTask | None
    seed: int
    origins: tuple[Origin, ...] = ()
    probes: Probes | None = None


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
        candidate: Step size of all its members, and variant of their strategy's settings.
        key: sha256 of everything that determines the result.
    """

    stage: Stage
    arm: str
    members: tuple[Member, ...]
    phases: tuple[Phase, ...]
    points: tuple[int, ...]
    iterations: tuple[int, ...]
    candidate: Candidate
    key: str

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{self.stage} {self.arm} {self.key[:8]}"

    @property
    def steps(self) -> int:
        """Environment steps of all members together."""
        return len(self.members) * sum(phase.iterations * phase.rows for phase in self.phases)


def arm_task(study: Study, arm: str, task: Task) -> Task:
    """Return a task as an arm's policies see it: with the arm's own family config."""
    overrides = study.arms[arm].config
    if not overrides:
        return task
    return get_family(study.family).task(dict(task.context), {**dict(task.config), **overrides})


def pretrain_units(
    study: Study, arm: str, splits: Mapping[str, Sequence[NamedTask]], targets: Sequence[NamedTask]
) -> list[Unit]:
    """Return the units that train an arm's policies before any target is met, members in seed-major order."""
    strategy = arm_strategy(study, arm)
    if strategy.pretrains_on == "nothing":
        return []
    tasks = targets if strategy.pretrains_on == "targets" else source_tasks(study, arm, splits)
    settings = pretrain_settings(study, arm)
    base = _pretrain_base(settings)
    names = {arm_task(study, arm, named.task): named for named in tasks}
    members = []
    for number in range(settings.seeds):
        for spec in strategy.pretrain(list(names), base):
            seed = _derive(study, "pretrain", number, spec.tasks)
            target = names[spec.tasks[0]] if len(spec.tasks) == 1 else None
            members.append(Member(replace(spec, seed=seed), target, number))
    return _cut_pretraining(study, arm, members, settings)


def consolidation_units(study: Study, arm: str, policies: Sequence[tuple[Origin, Member]]) -> list[Unit]:
    """Return the units that make one policy of an arm's pretrained ones, for each repetition of pretraining.

    Args:
        study: The study.
        arm: An arm whose strategy consolidates.
        policies: Its pretrained members, one a source task and repetition.
    """
    settings = pretrain_settings(study, arm)
    members = []
    for number in sorted({member.seed for _, member in policies}):
        own = [(origin, member) for origin, member in policies if member.seed == number]
        tasks = tuple(task for _, member in own for task in member.base.tasks)
        seed = _derive(study, "consolidate", number, tasks)
        base = replace(_pretrain_base(settings), seed=seed, tasks=tasks)
        members.append(Member(base, None, number, tuple(origin for origin, _ in own)))
    return _cut_pretraining(study, arm, members, settings)


def policies_of(units: Iterable[Unit]) -> list[tuple[Origin, Member]]:
    """Return the members of units, with where each is to be found."""
    return [(Origin(unit.key, place), member) for unit in units for place, member in enumerate(unit.members)]


def pretrain_settings(study: Study, arm: str) -> PretrainEntry:
    """Return an arm's pretraining: the study's, with what the arm says in its place."""
    return PretrainEntry.model_validate({**study.pretrain.model_dump(), **study.arms[arm].pretrain})


def _pretrain_base(settings: PretrainEntry) -> MemberSpec:
    return MemberSpec(0, (), None, "all", 0, settings.lr, settings.entropy_coeff, settings.clip, settings.max_grad_norm)


def _cut_pretraining(study: Study, arm: str, members: Sequence[Member], settings: PretrainEntry) -> list[Unit]:
    phases = steady_phases(settings.steps, settings.envs_per_member, settings.length)
    _check_rollouts(study, arm, members, phases)
    iterations = phases[0].iterations
    points = (iterations * phases[0].rows,)
    return _cut(study, "pretrain", arm, members, phases, points, (iterations,), Candidate(settings.lr))


def _check_rollouts(study: Study, arm: str, members: Sequence[Member], phases: Sequence[Phase]) -> None:
    """Refuse rollouts that members that learn to adapt could not use.

    Raises:
        InputError: If they are no whole episodes.
    """
    if any(isinstance(member.base.meta, MAMLSettings | ReptileSettings) for member in members):
        tasks = {task for member in members for task in member.base.tasks}
        module = module_spec(study, arm, members[0].base.tasks, adapting=False, sources=0)
        try:
            check_whole_episodes(tasks, phases, module.extras.trial_episodes)
        except InputError as error:
            raise InputError(f"arms.{arm}: pretrain.length: {error}") from error


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
    candidate: Candidate,
    up_to: int | None = None,
    chosen: Mapping[tuple[str, int], Chosen] | None = None,
) -> list[Unit]:
    """Return the units in which an arm meets targets in one way; none if its strategy does not adapt.

    Args:
        study: The study.
        stage: ``tune`` (on val) or ``adapt`` (on targets).
        arm: The arm.
        targets: The tasks to meet.
        policies: The arm's pretrained members, in the order of :func:`pretrain_units`.
        candidate: Step size and variant of the strategy's settings.
        up_to: Target episodes to stop at; None for the arm's last point.
        chosen: Source of each (task id, repetition), for arms that choose; arms that rotate need none.
    """
    if not arm_strategy(study, arm).adapts or not targets:
        return []
    seeds = study.adapt.tune.seeds if stage == "tune" else study.adapt.seeds
    members = []
    for place, named in enumerate(targets):
        for number in range(seeds):
            base = MemberSpec(
                seed=_derive(study, stage, number, (named.task,)),
                lr=candidate.lr,
                entropy_coeff=study.adapt.entropy_coeff,
                clip=study.adapt.clip,
                max_grad_norm=study.adapt.max_grad_norm,
            )
            if study.arms[arm].choose == "all":
                members.append(Member(base, named, number, every_source(policies, named.task, number)))
                continue
            source = source_of(
                study, arm, policies, place * seeds + number, (chosen or {}).get((named.task.id, number))
            )
            origins = (source.origin,) if source else ()
            members.append(Member(base, named, number, origins, source.probes if source else None))
    probed = probe_episodes(study, arm, len(policies))
    last = min(n for n in (up_to, study.arms[arm].up_to, study.adapt.episodes[-1]) if n is not None)
    points = tuple(n for n in study.adapt.episodes if probed <= n <= last)
    steps = get_family(study.family).typical_episode_steps(dict(targets[0].task.config))
    phases, iterations = episode_phases([point - probed for point in points], steps, study.adapt.per_iteration)
    return _cut(study, stage, arm, members, phases, points, iterations, candidate)


def source_of(
    study: Study, arm: str, policies: Sequence[tuple[Origin, Member]], turn: int, chosen: Chosen | None
) -> Chosen | None:
    """Return the policy a member starts from; None for an arm without policies.

    Args:
        study: The study.
        arm: The arm; its ``choose`` says how.
        policies: The arm's pretrained members.
        turn: Number of this member among the arm's, for ``rotate``.
        chosen: What was chosen for the member, for arms that choose.
    """
    if not policies:
        return None
    if study.arms[arm].choose == "rotate":
        return Chosen(policies[turn % len(policies)][0])
    assert chosen is not None  # the stage that chooses sources comes before any target is met
    return chosen


def every_source(policies: Sequence[tuple[Origin, Member]], target: Task, number: int) -> tuple[Origin, ...]:
    """Return one policy a source task, of one repetition of pretraining, the nearest context first.

    Args:
        policies: The arm's pretrained members.
        target: The task to meet.
        number: Repetition of the adaptation; those of pretraining take turns.
    """
    repetitions = sorted({member.seed for _, member in policies})
    own = [(origin, member) for origin, member in policies if member.seed == repetitions[number % len(repetitions)]]
    if any(member.target is None for _, member in own):
        return tuple(origin for origin, _ in own)
    family = family_of([target])
    features = [family.features(member.base.tasks[0]) for _, member in own]
    order = np.argsort(-closeness(features, family.features(target)), kind="stable")
    return tuple(own[place][0] for place in order)


def chooses(study: Study, arm: str) -> bool:
    """Whether an arm chooses among source policies instead of going round them or taking all."""
    strategy = arm_strategy(study, arm)
    return study.arms[arm].choose not in ("rotate", "all") and strategy.adapts and strategy.pretrains_on != "nothing"


def probe_episodes(study: Study, arm: str, policies: int) -> int:
    """Return the target episodes that an arm with so many policies plays before it has chosen one; mostly 0."""
    entry = study.arms[arm]
    return entry.probe_episodes * policies if entry.choose == "probe" else 0


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
    candidate: Candidate,
) -> list[Unit]:
    """Cut members into units of nearly equal size, none above ``members_per_trial``."""
    pieces = -(-len(members) // study.execution.members_per_trial)
    bounds = [round(len(members) * piece / pieces) for piece in range(pieces + 1)]
    units = []
    for first, last in pairwise(bounds):
        block = tuple(members[first:last])
        key = _key(study, stage, arm, block, phases, points, candidate)
        units.append(Unit(stage, arm, block, phases, points, iterations, candidate, key))
    return units


def _key(
    study: Study,
    stage: Stage,
    arm: str,
    members: Sequence[Member],
    phases: Sequence[Phase],
    points: Sequence[int],
    candidate: Candidate,
) -> str:
    adapts = stage != "pretrain"
    own = adapts or any(member.origins for member in members)
    strategy = arm_strategy(study, arm, variant_settings(study, arm, candidate) if adapts else None)
    task = next(task for member in members for task in (*member.base.tasks, *_target_task(member)))
    pool = members[0].base.tasks if not adapts else (arm_task(study, arm, task),)
    module = module_spec(study, arm, pool, adapting=adapts, sources=len(members[0].origins))
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
            "arm": arm if adapts else "",  # rows are an arm's own: two that chose the same source must not share them
            "strategy": adapting if own else {},
            "members": described,
            "phases": [asdict(phase) for phase in phases],
            "points": list(points),
            "module": {"kind": module.kind, "model": dict(module.model), "extras": module.extras.to_json()},
            "learner": learner_settings(study, arm, adapting=adapts),
            "evaluation": study.evaluation.model_dump(),
        }
    )


def _target_task(member: Member) -> tuple[Task, ...]:
    return () if member.target is None else (member.target.task,)
