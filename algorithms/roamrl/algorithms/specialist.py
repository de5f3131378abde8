"""Specialist: trained on the target itself with the full budget; the ceiling of every adaptation curve.

Same learner as scratch, but with the pretraining budget (3 million windows and more on slicing), so that its score
says what learning can reach on a task (PROTOCOL: arms that are always there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import Strategy, StrategyConfig
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task


@dataclass(frozen=True)
class SpecialistConfig(StrategyConfig):
    """The specialist has no settings of its own."""


class Specialist(Strategy[SpecialistConfig]):
    """Learn every target by itself, for as long as pretraining lasts."""

    name = "specialist"
    about = "one policy a target, trained on that target with the pretraining budget: the ceiling"
    paper = "Schulman et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347, 2017"
    config_class = SpecialistConfig
    pretrains_on = "targets"
    adapts = False

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member a target."""
        return tuple(replace(base, tasks=(task,)) for task in tasks)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Refuse: the specialist is finished when its pretraining is."""
        raise InputError("strategy 'specialist' does not adapt; use 'scratch' to learn a target within a budget")
