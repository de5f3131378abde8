"""Pools: the source policies that an arm may start from, and which of them are scored on every target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.schema import Study
from roamrl.platform.study.source_scores import Piece, Play, play_pieces
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Member, Origin, Unit, pretrain_units


@dataclass(frozen=True)
class Pool:
    """Source policies that are compared with each other.

    Attributes:
        arms: Arms that draw on them.
        units: The units that train them.
    """

    arms: tuple[str, ...]
    units: tuple[Unit, ...]

    @property
    def policies(self) -> list[tuple[Origin, Member]]:
        """The policies, in the order of :func:`~roamrl.platform.study.units.pretrain_units`."""
        return [(Origin(unit.key, place), member) for unit in self.units for place, member in enumerate(unit.members)]


def source_pools(study: Study, splits: Mapping[str, Sequence[NamedTask]], targets: Sequence[NamedTask]) -> list[Pool]:
    """Return the pools that some arm chooses from, or of all arms where the study asks for the zero-shot matrix."""
    arms: dict[tuple[str, ...], list[str]] = {}
    units: dict[tuple[str, ...], tuple[Unit, ...]] = {}
    for arm, entry in study.arms.items():
        strategy = arm_strategy(study, arm)
        draws = strategy.adapts and not strategy.consolidates
        own = tuple(pretrain_units(study, arm, splits, targets)) if draws else ()
        of_one_task = any(member.target is not None for unit in own for member in unit.members)
        if own and (entry.choose not in ("rotate", "all") or (study.zero_shot_matrix and of_one_task)):
            key = tuple(unit.key for unit in own)
            arms.setdefault(key, []).append(arm)
            units.setdefault(key, own)
    return [Pool(tuple(names), units[key]) for key, names in arms.items()]


def zero_shot_pieces(study: Study, pools: Sequence[Pool], targets: Sequence[NamedTask]) -> list[Piece]:
    """Return what has to be played so that every source's score on every target is known."""
    units = {unit.key: unit for pool in pools for unit in pool.units}
    return [
        Piece("zero-shot", unit, named, _everyone(unit, study.evaluation.final_episodes))
        for unit in units.values()
        for named in targets
    ]


def zero_shot(state: RunState) -> None:
    """Score every source policy on every target as it is: what each choice of a source could have been worth."""
    pools = source_pools(state.study, state.splits, state.targets)
    if pools:
        state.progress.stage("zero-shot")
        play_pieces(state, zero_shot_pieces(state.study, pools, state.targets))


def _everyone(unit: Unit, episodes: int) -> tuple[Play, ...]:
    return tuple(Play(place, 0, episodes, None) for place in range(len(unit.members)))
