"""The generalisation gap: an arm's policies trained on more and more contexts, in nested sets and at fixed steps.

Cobbe et al., "Quantifying generalization in reinforcement learning", ICML 2019. A policy that the study trains anyway
is not trained again: the key of the unit that a member would be alone in says all that its weights follow from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError
from roamrl.platform.study.gap_contexts import endless_contexts
from roamrl.platform.study.learners import arm_strategy, learner_spec, module_spec
from roamrl.platform.study.schema import ArmEntry, GapEntry, Study
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Unit, pretrain_units

Splits = Mapping[str, Sequence[NamedTask]]
Place = tuple[Unit, int]
"""A unit, and a member's place in it."""


@dataclass(frozen=True)
class GapPolicy:
    """One policy of the comparison.

    Attributes:
        arm: Its arm.
        contexts: Number of contexts it is trained on.
        unlimited: Whether they stand for as many as there are.
        seed: Number of the repetition, 0, 1, ..
        key: The sha256 of everything that determines its weights.
        unit: The unit that trains it.
        member: Its place in the unit.
        trained_on: Tasks of the source split that are among its contexts.
    """

    arm: str
    contexts: int
    unlimited: bool
    seed: int
    key: str
    unit: Unit
    member: int
    trained_on: tuple[NamedTask, ...]


@dataclass(frozen=True)
class Gap:
    """All policies of a study's generalisation gap, and the units that train those which nothing else trains."""

    policies: tuple[GapPolicy, ...]
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class _Wanted:
    """A policy before it is known who trains it: ``alone`` is the unit that would train it and nothing else."""

    arm: str
    unlimited: bool
    alone: Unit
    trained_on: tuple[NamedTask, ...]


def study_gap(study: Study, splits: Splits, targets: Sequence[NamedTask]) -> Gap:
    """Return what a study's ``gap`` asks for; nothing where it has none.

    Args:
        study: The study.
        splits: Tasks of every split.
        targets: The targets, on which some arms of the study pretrain.

    Raises:
        InputError: If an arm does not train one policy on all its sources, or cannot on so few of them.
    """
    if study.gap is None:
        return Gap((), ())
    wanted = [each for arm in study.gap.arms for each in _wanted(study, study.gap, arm, splits)]
    found = _trained_anyway(study, splits, targets)
    missing = {each.alone.key: each for each in wanted if each.alone.key not in found}
    units = _populations(study, list(missing.values()))
    for unit, keys in units:
        found |= {key: (unit, place) for place, key in enumerate(keys)}
    return Gap(tuple(_policy(each, *found[each.alone.key]) for each in wanted), tuple(unit for unit, _ in units))


def learner_of(study: Study, unit: Unit) -> LearnerSpec:
    """Return the learner that carries out a unit of :attr:`Gap.units`.

    Conflicts between tasks' gradients are not measured: with thousands of tasks that takes gigabytes, and it changes no
    result.
    """
    members = [member.base for member in unit.members]
    module = module_spec(study, unit.arm, members[0].tasks, adapting=False, sources=0)
    learner = learner_spec(study, unit.arm, module, members, unit.phases, unit.iterations, adapting=False)
    return replace(learner, task_gradients="none") if learner.task_gradients == "measure" else learner


def _wanted(study: Study, gap: GapEntry, arm: str, splits: Splits) -> Iterator[_Wanted]:
    entry = study.arms[arm]
    source = gap.sources or str(entry.sources)
    listed = splits[source]
    if source in study.targets:
        raise InputError(f"gap.arms: arm {arm!r} trains on the targets {source!r}; a gap needs targets it never saw")
    pretrain = {**entry.pretrain, "seeds": gap.seeds, **({"steps": gap.steps} if gap.steps else {})}
    own = _one_a_unit(study, {arm: entry.model_copy(update={"pretrain": pretrain})})
    seen: set[str] = set()
    for number in gap.contexts:
        unlimited = number == "unlimited"
        if not unlimited and int(number) > len(listed):
            raise InputError(f"gap.contexts: arm {arm!r} has {len(listed)} tasks in {source!r}, not {number}")
        pool = endless_contexts(study, source, listed, gap.pool) if unlimited else listed[: int(number)]
        units = pretrain_units(own, arm, {**splits, str(entry.sources): pool}, ())
        if arm_strategy(study, arm).consolidates or len(units) != gap.seeds:
            raise InputError(
                f"gap.arms: strategy {entry.strategy!r} of arm {arm!r} does not train one policy on all its sources; "
                "choose an arm whose strategy does, such as joint"
            )
        _check(study, arm, units[0])
        fresh = [unit for unit in units if unit.key not in seen]  # few distinct contexts: unlimited may be all of them
        seen |= {unit.key for unit in fresh}
        for unit in fresh:
            yield _Wanted(arm, unlimited, unit, tuple(listed[: len(pool)]))


def _check(study: Study, arm: str, unit: Unit) -> None:
    """Refuse contexts with which the arm's learner cannot be made, before anything runs."""
    try:
        learner_of(study, unit)
    except InputError as error:
        contexts = len(unit.members[0].base.tasks)
        raise InputError(f"gap.contexts: arm {arm!r} cannot be trained on {contexts} contexts: {error}") from error


def _trained_anyway(study: Study, splits: Splits, targets: Sequence[NamedTask]) -> dict[str, Place]:
    """Return by key the place of every policy that the arms' own pretraining trains."""
    alone = _one_a_unit(study, study.arms)
    found: dict[str, Place] = {}
    for arm in study.arms:
        places = [
            (unit, place) for unit in pretrain_units(study, arm, splits, targets) for place in range(len(unit.members))
        ]
        keys = [unit.key for unit in pretrain_units(alone, arm, splits, targets)]
        found |= dict(zip(keys, places, strict=True))
    return found


def _one_a_unit(study: Study, arms: Mapping[str, ArmEntry]) -> Study:
    execution = study.execution.model_copy(update={"members_per_trial": 1})
    return study.model_copy(update={"arms": {**study.arms, **arms}, "execution": execution})


def _populations(study: Study, wanted: Sequence[_Wanted]) -> list[tuple[Unit, list[str]]]:
    """Put policies that have one arm and one module into units of nearly equal size; return each with its keys."""
    groups: dict[str, list[_Wanted]] = {}
    for each in wanted:
        tasks = each.alone.members[0].base.tasks
        module = module_spec(study, each.arm, tasks, adapting=False, sources=0).to_json()
        groups.setdefault(content_hash({"arm": each.arm, "module": module}), []).append(each)
    found = []
    for group in groups.values():
        pieces = -(-len(group) // study.execution.members_per_trial)
        bounds = [round(len(group) * piece / pieces) for piece in range(pieces + 1)]
        found += [_together(group[first:last]) for first, last in pairwise(bounds)]
    return found


def _together(block: Sequence[_Wanted]) -> tuple[Unit, list[str]]:
    keys = [each.alone.key for each in block]
    members = tuple(member for each in block for member in each.alone.members)
    return replace(block[0].alone, members=members, key=content_hash({"stage": "gap", "members": keys})), keys


def _policy(wanted: _Wanted, unit: Unit, place: int) -> GapPolicy:
    member = wanted.alone.members[0]
    contexts = len(member.base.tasks)
    return GapPolicy(
        wanted.arm, contexts, wanted.unlimited, member.seed, wanted.alone.key, unit, place, wanted.trained_on
    )
