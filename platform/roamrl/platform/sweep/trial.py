"""From a study and the settings of a trial to its learner: which members it has, and on what each is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec
from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.errors import InputError
from roamrl.platform.study.learners import arm_strategy, learner_spec, module_spec
from roamrl.platform.study.schema import Study
from roamrl.platform.study.search_entries import SearchEntry
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Member, arm_task, pretrain_units
from roamrl.platform.sweep.paths import member_path, with_values
from roamrl.platform.sweep.spaces import Settings, draw_settings

_ALL_IN_ONE = 1 << 30


@dataclass(frozen=True)
class Trial:
    """One learner of a sweep.

    Attributes:
        learner: The learner.
        candidates: The settings that its members have; one for a trial of a space.
        of_member: Which of them each member has, [P].
        scored_on: Tasks of ``val`` by member, as its policy sees them: its own, or all.
        reports: Iterations after which it is scored, increasing; the last is its end.
    """

    learner: LearnerSpec
    candidates: tuple[Settings, ...]
    of_member: tuple[int, ...]
    scored_on: tuple[tuple[NamedTask, ...], ...]
    reports: tuple[int, ...]


def search_of(study: Study) -> SearchEntry:
    """Return what a study searches.

    Raises:
        InputError: If it says nothing of a search.
    """
    if study.search is None:
        raise InputError(
            f"study {study.name!r} has no 'search' block; one is, e.g., "
            "search: {arm: joint, space: {pretrain.lr: {loguniform: [0.0001, 0.01]}}}"
        )
    return study.search


def build_trial(study: Study, settings: Mapping[str, JSON], splits: Mapping[str, Sequence[NamedTask]]) -> Trial:
    """Build the learner of a trial.

    Specialists, which would be trained on targets, are trained on the tasks of ``val`` instead, each on its own: the
    targets take no part in a sweep.

    Args:
        study: The study with its search.
        settings: The trial's values by path; none for a population of members with settings of their own.
        splits: The study's ``val``, and the sources of the arm.

    Raises:
        InputError: If the arm has nothing to pretrain, or a setting does not fit.
    """
    search = search_of(study)
    _check_arm(study, search)
    own = trial_study(study, settings)
    (unit,) = pretrain_units(own, search.arm, splits, splits[study.val])
    members, candidates, of_member = _population(own, search, unit.members, settings)
    specs = [member.base for member in members]
    module = module_spec(own, search.arm, specs[0].tasks, adapting=False, sources=0)
    reports = _reports(search, unit.iterations[-1])
    learner = learner_spec(own, search.arm, module, specs, unit.phases, (unit.iterations[-1],), adapting=False)
    if search.members:
        shared = {candidate: values.get("gamma", learner.gamma) for candidate, values in enumerate(candidates)}
        learner = replace(learner, gammas=tuple(float(shared[candidate]) for candidate in of_member))
    on_own = arm_strategy(own, search.arm).pretrains_on == "targets"
    scored_on = tuple(
        (member.target,) if on_own and member.target is not None else tuple(splits[study.val]) for member in members
    )
    return Trial(learner, tuple(candidates), tuple(of_member), scored_on, reports)


def trial_study(study: Study, settings: Mapping[str, JSON]) -> Study:
    """Return the study that a trial trains by: its values, the search's budget and seed, all members in one learner."""
    search = search_of(study)
    budget = {} if search.budget.steps is None else {f"arms.{search.arm}.pretrain.steps": search.budget.steps}
    alone = {f"arms.{search.arm}.pretrain.seeds": 1} if search.scheduler == "pbt" else {}
    own = with_values(study, {**settings, **budget, **alone})
    execution = own.execution.model_copy(update={"members_per_trial": _ALL_IN_ONE})
    seed = int(content_hash({"study": study.seed, "search": search.seed})[:7], 16)
    return own.model_copy(update={"execution": execution, "seed": seed})


def task_seen(study: Study, named: NamedTask) -> NamedTask:
    """Return a task as the searched arm's policies see it, under the name and id it has in the study."""
    return replace(named, task=arm_task(study, search_of(study).arm, named.task))


def _check_arm(study: Study, search: SearchEntry) -> None:
    strategy = arm_strategy(study, search.arm)
    if strategy.pretrains_on == "nothing":
        raise InputError(
            f"arm {search.arm!r}: strategy {strategy.name!r} learns nothing before it meets a target, so a sweep has "
            "nothing to train; its step size is chosen by adapt.tune. Sweep an arm that pretrains, e.g. 'joint'"
        )
    if strategy.consolidates:
        raise InputError(
            f"arm {search.arm!r}: strategy {strategy.name!r} makes one policy of several that were trained before, "
            "which a sweep's trials do not have; sweep the arm that trains those"
        )
    if search.scheduler == "pbt" and strategy.pretrains_on == "targets":
        raise InputError(
            f"arm {search.arm!r}: its members train on a task each and have nothing to take over from each other; "
            "scheduler 'pbt' needs members of the same tasks, e.g. strategy 'joint'"
        )


def _population(
    study: Study, search: SearchEntry, members: Sequence[Member], settings: Mapping[str, JSON]
) -> tuple[list[Member], tuple[Settings, ...], tuple[int, ...]]:
    """Return every member once for each of the settings drawn, candidate by candidate; as they are in a trial's space.

    Members of the same repetition share their seed, whatever their settings, so that settings are compared in pairs;
    under population-based training each has a seed of its own, as copies would else repeat what they copied.
    """
    if not search.members:
        return list(members), (dict(settings),), (0,) * len(members)
    candidates = tuple(draw_settings(search))
    if search.scheduler == "pbt":
        if len({member.base.tasks for member in members}) > 1 or arm_strategy(study, search.arm).algorithm != "ppo":
            raise InputError(
                f"arm {search.arm!r}: scheduler 'pbt' exchanges members that learn the same tasks by PPO; search "
                "another arm, e.g. of strategy 'joint', or take scheduler 'none'"
            )
        if members[0].base.meta is not None:
            raise InputError(f"arm {search.arm!r}: members that learn to adapt do not take over each other; no 'pbt'")
    found = [
        replace(member, base=_with_settings(member.base, values, number if search.scheduler == "pbt" else None))
        for number, values in enumerate(candidates)
        for member in members
    ]
    return found, candidates, tuple(np.repeat(np.arange(len(candidates)), len(members)).tolist())


def _with_settings(base: MemberSpec, values: Settings, number: int | None) -> MemberSpec:
    own = {name: float(value) for name, value in values.items() if name != "gamma"}
    seed = base.seed if number is None else int(content_hash({"member": base.seed, "number": number})[:7], 16)
    return replace(base, seed=seed, **own)  # type: ignore[arg-type]


def _reports(search: SearchEntry, iterations: int) -> tuple[int, ...]:
    """Return after which iterations a trial is scored.

    Raises:
        InputError: If it has fewer iterations than reports, or ends before the first exchange.
    """
    if search.scheduler == "pbt":
        interval = search.pbt.interval
        if interval >= iterations:
            raise InputError(
                f"search.pbt.interval {interval}: a trial has {iterations} iterations; give fewer, or more steps"
            )
        return (*range(interval, iterations, interval), iterations)
    count = search.budget.reports
    if count > iterations:
        raise InputError(
            f"search.budget.reports {count}: a trial has {iterations} iterations (of envs_per_member x length steps); "
            "give fewer reports, or more steps"
        )
    return tuple(round(iterations * report / count) for report in range(1, count + 1))


def paths_of(study: Study, settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return settings by the study's fields that hold them, whatever the search was of."""
    search = search_of(study)
    if not search.members:
        return dict(settings)
    return {member_path(study, search.arm, name): value for name, value in settings.items()}
