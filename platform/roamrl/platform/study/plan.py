"""What running a study will take: units, environment steps, time and memory, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roamrl.envs.family import get_family
from roamrl.platform.study.candidates import candidates
from roamrl.platform.study.classical import classical_targets
from roamrl.platform.study.gap import study_gap
from roamrl.platform.study.gap_scores import gap_pieces
from roamrl.platform.study.in_context import in_context_trials
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.pools import source_pools, zero_shot_pieces
from roamrl.platform.study.probing import planned_probes
from roamrl.platform.study.schema import CLASSICAL_TUNED, Study
from roamrl.platform.study.selection_check import check_choice
from roamrl.platform.study.source_scores import Piece
from roamrl.platform.study.tasks import NamedTask, study_splits
from roamrl.platform.study.units import (
    Chosen,
    Member,
    Origin,
    Unit,
    adapt_units,
    consolidation_units,
    policies_of,
    pretrain_units,
)

LEARNED_STEPS_A_SECOND = 30_000
"""Environment steps of slicing-v1 that a core samples and learns a second, eight members of 1,024 rows each."""

PLAYED_STEPS_A_SECOND = 60_000
"""Environment steps of slicing-v1 a core plays a second with eight policies acting."""

ORACLE_EPISODE_S = 0.1
"""Seconds the clairvoyant reference takes for an episode of slicing-v1."""

TRIAL_MB = 700
"""Resident memory of one trial's process with eight members."""


@dataclass(frozen=True)
class PlanRow:
    """Units of one stage and arm.

    Attributes:
        stage: The stage.
        arm: The arm.
        units: Units, each a Tune trial (a Ray task for references, and for sources played as they are).
        members: Members in all.
        windows: Environment steps of learning in all.
        seconds: Estimated time on this machine, learning and evaluation.
    """

    stage: str
    arm: str
    units: int
    members: int
    windows: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The whole of a study before it runs; step sizes chosen on val may save or add a few units of adaptation."""

    parts: tuple[PlanRow, ...]
    cores: int

    def rows(self) -> tuple[PlanRow, ...]:
        """Return one row a stage and arm."""
        return self.parts

    @property
    def windows(self) -> int:
        """Environment steps of learning in all."""
        return sum(row.windows for row in self.parts)

    @property
    def seconds(self) -> float:
        """Estimated time in all."""
        return sum(row.seconds for row in self.parts)

    @property
    def memory_mb(self) -> int:
        """Estimated memory of the trials that run at once."""
        return TRIAL_MB * self.cores


def plan_study(study: Study) -> Plan:
    """Expand a study to units without running it.

    Raises:
        InputError: If the study names tasks, recordings or strategies that are not there.
    """
    splits = study_splits(study)
    targets = [named for name in study.targets for named in splits[name]]
    cores = study.execution.trials_at_once or os.cpu_count() or 1
    rows = [_reference_row(study, splits, cores)]
    seen: set[str] = set()
    policies: dict[str, list[tuple[Origin, Member]]] = {}
    for arm in study.arms:
        units = pretrain_units(study, arm, splits, targets)
        policies[arm] = policies_of(units)
        if arm_strategy(study, arm).consolidates:
            units = [*units, *consolidation_units(study, arm, policies[arm])]
            policies[arm] = policies_of(unit for unit in units if unit.members[0].origins)
        new = [unit for unit in units if unit.key not in seen]
        seen |= {unit.key for unit in new}
        own_splits = len(splits[study.val]) * study.evaluation.episodes + study.evaluation.final_episodes
        rows += _row("pretrain", arm, new, own_splits, study, cores)
    rows += _selection_rows(study, splits, targets, cores)
    for arm in study.arms:
        stand_ins = _stand_ins(study, [*splits[study.val], *targets], policies[arm])
        tried = [
            unit
            for candidate in candidates(study, arm)
            for unit in adapt_units(
                study, "tune", arm, splits[study.val], policies[arm], candidate, study.adapt.tune.up_to, stand_ins
            )
        ]
        rows += _row("tune", arm, tried, _points(tried) * study.evaluation.episodes, study, cores)
        met = adapt_units(study, "adapt", arm, targets, policies[arm], candidates(study, arm)[0], None, stand_ins)
        played = max(0, _points(met) - 2) * study.evaluation.episodes + 2 * study.evaluation.final_episodes
        rows += _row("adapt", arm, met, played, study, cores)
    rows += _in_context_rows(study, targets, policies, cores)
    rows += _classical_row(study, targets, cores)
    rows += _gap_rows(study, splits, targets, cores)
    return Plan(tuple(rows), cores)


def _in_context_rows(
    study: Study,
    targets: Sequence[NamedTask],
    policies: Mapping[str, Sequence[tuple[Origin, Member]]],
    cores: int,
) -> list[PlanRow]:
    trials = in_context_trials(study, targets, policies)
    rows = []
    for arm in dict.fromkeys(each.arm for each in trials):
        own = [each for each in trials if each.arm == arm]
        episodes = sum(len(e.targets) * (e.points[-1] + len(e.points)) * study.evaluation.episodes for e in own)
        seconds = episodes * _episode_steps(study) / PLAYED_STEPS_A_SECOND / min(cores, len(own))
        rows.append(PlanRow("in-context", arm, len(own), len(own) * len(targets), 0, seconds))
    return rows


def _classical_row(study: Study, targets: Sequence[NamedTask], cores: int) -> list[PlanRow]:
    found = classical_targets(study, targets)
    if not found:
        return []
    searches = [search for target in found for search in target.searches]
    episodes = sum(search.budget + search.episodes for search in searches)
    seconds = episodes * _episode_steps(study) / PLAYED_STEPS_A_SECOND / min(cores, len(found))
    return [PlanRow("classical", CLASSICAL_TUNED, len(found), len(found) * study.adapt.seeds, 0, seconds)]


def _gap_rows(
    study: Study, splits: Mapping[str, Sequence[NamedTask]], targets: Sequence[NamedTask], cores: int
) -> list[PlanRow]:
    """Return what the generalisation gap takes by arm: training, then scores of all its policies."""
    gap = study_gap(study, splits, targets)
    pieces = gap_pieces(study, gap.policies, targets)
    rows = []
    for arm in study.gap.arms if study.gap else ():
        rows += _row("gap", arm, [unit for unit in gap.units if unit.arm == arm], 0, study, cores)
        played = [piece for piece in pieces if piece.arm == arm]
        seconds = sum(piece.episodes for piece in played) * _episode_steps(study) / PLAYED_STEPS_A_SECOND
        policies = sum(policy.arm == arm for policy in gap.policies)
        rows.append(PlanRow("gap-score", arm, len(played), policies, 0, seconds / min(cores, len(played))))
    return rows


def _selection_rows(
    study: Study, splits: Mapping[str, Sequence[NamedTask]], targets: Sequence[NamedTask], cores: int
) -> list[PlanRow]:
    """Return what has to be played so that sources can be chosen, and choices compared; checks that they can be."""
    pools = source_pools(study, splits, targets)
    rows = []
    for pool in pools:
        for arm in pool.arms:
            check_choice(study, arm, len(pool.policies), len(splits[study.val]))
        rows += _played_row("zero-shot", pool.arms[0], zero_shot_pieces(study, [pool], targets), study, cores)
    for pool in pools:
        for arm in pool.arms:
            pieces = planned_probes(study, arm, pool, splits[study.val], targets)
            rows += _played_row("probe", arm, pieces, study, cores)
    return rows


def _played_row(stage: str, arm: str, pieces: Sequence[Piece], study: Study, cores: int) -> list[PlanRow]:
    if not pieces:
        return []
    episodes = sum(play.episodes for piece in pieces for play in piece.plays)
    seconds = episodes * _episode_steps(study) / PLAYED_STEPS_A_SECOND / min(cores, len(pieces))
    return [PlanRow(stage, arm, len(pieces), sum(len(piece.plays) for piece in pieces), 0, seconds)]


def _stand_ins(
    study: Study, tasks: Sequence[NamedTask], policies: Sequence[tuple[Origin, Member]]
) -> dict[tuple[str, int], Chosen]:
    """Return some choice for every task and repetition: which source it is does not change how much there is to do."""
    if not policies:
        return {}
    most = max(study.adapt.seeds, study.adapt.tune.seeds)
    return {(named.task.id, number): Chosen(policies[0][0]) for named in tasks for number in range(most)}


def _points(units: Sequence[Unit]) -> int:
    return len(units[0].points) if units else 0


def _row(stage: str, arm: str, units: Sequence[Unit], episodes: int, study: Study, cores: int) -> list[PlanRow]:
    if not units:
        return []
    members = sum(len(unit.members) for unit in units)
    windows = sum(unit.steps for unit in units)
    played = members * episodes * _episode_steps(study)
    seconds = (windows / LEARNED_STEPS_A_SECOND + played / PLAYED_STEPS_A_SECOND) / min(cores, len(units))
    return [PlanRow(stage, arm, len(units), members, windows, seconds)]


def _episode_steps(study: Study) -> int:
    family = get_family(study.family)
    return family.typical_episode_steps(family.config(study.config))


def _reference_row(study: Study, splits: Mapping[str, Sequence[NamedTask]], cores: int) -> PlanRow:
    tasks = {named.task.id for name in study.used_splits for named in splits[name]}
    seconds = len(tasks) * study.evaluation.final_episodes * ORACLE_EPISODE_S / cores
    return PlanRow("references", "-", len(tasks), 0, 0, seconds)
