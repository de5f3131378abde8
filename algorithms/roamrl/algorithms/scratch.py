"""Scratch: fresh weights, trained on the target alone; the arm every other must beat.

pi_learner(t=0) has random weights, then PPO on the target (Schulman et al., arXiv:1707.06347, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import Strategy, StrategyConfig
from roamrl.envs.task import Task


@dataclass(frozen=True)
class ScratchConfig(StrategyConfig):
    """Scratch has no settings of its own."""


class Scratch(Strategy[ScratchConfig]):
    """Learn the target from nothing."""

    name = "scratch"
    about = "fresh weights, trained on the target within the adaptation budget"
    paper = "Schulman et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347, 2017"
    config_class = ScratchConfig
    pretrains_on = "nothing"

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a fresh member on the target."""
        return replace(base, tasks=(target,))
