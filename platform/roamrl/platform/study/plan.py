"""What running a study will take: units, environment steps, time and memory, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roamrl.envs.family import get_family
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask, study_splits
from roamrl.platform.study.units import Member, Origin, Unit, adapt_units, pretrain_units

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
        units: Units, each a Tune trial (a Ray task for references).
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
        policies[arm] = [(Origin(unit.key, i), member) for unit in units for i, member in enumerate(unit.members)]
        new = [unit for unit in units if unit.key not in seen]
        seen |= {unit.key for unit in new}
        own_splits = len(splits[study.val]) * study.evaluation.episodes + study.evaluation.final_episodes
        rows += _row("pretrain", arm, new, own_splits, study, cores)
    for arm in study.arms:
        tried = [
            unit
            for lr in study.adapt.tune.lr
            for unit in adapt_units(study, "tune", arm, splits[study.val], policies[arm], lr, study.adapt.tune.up_to)
        ]
        rows += _row("tune", arm, tried, _points(tried) * study.evaluation.episodes, study, cores)
        met = adapt_units(study, "adapt", arm, targets, policies[arm], study.adapt.tune.lr[0])
        played = max(0, _points(met) - 2) * study.evaluation.episodes + 2 * study.evaluation.final_episodes
        rows += _row("adapt", arm, met, played, study, cores)
    return Plan(tuple(rows), cores)


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
    return family.episode_steps(family.config(study.config))


def _reference_row(study: Study, splits: Mapping[str, Sequence[NamedTask]], cores: int) -> PlanRow:
    names = [*study.targets, study.val, *(arm.sources for arm in study.arms.values() if arm.sources)]
    tasks = {named.task.id for name in names for named in splits[name]}
    seconds = len(tasks) * study.evaluation.final_episodes * ORACLE_EPISODE_S / cores
    return PlanRow("references", "-", len(tasks), 0, 0, seconds)
