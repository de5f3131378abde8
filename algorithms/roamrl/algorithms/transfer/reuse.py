"""Reuse: start the learner from an expert's weights.

pi_learner(t=0) = pi_expert(t=N), then PPO on the target (Zhu et al., IEEE TPAMI 45(11), 2023, sec. 4.2;
Nagib et al., IEEE TNSM 20(2), 2023). The critic and the normalisation statistics come along with the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import Layers, MemberSpec
from roamrl.algorithms.strategy import StrategyConfig, one_source
from roamrl.algorithms.transfer.experts import ExpertPerSource
from roamrl.envs.task import Task


@dataclass(frozen=True)
class ReuseConfig(StrategyConfig):
    """Settings of reuse.

    Attributes:
        layers: Which of the expert's layers the learner takes: all, or all but the output layers.
        frozen_steps: Environment steps on the target during which the layers taken stay fixed.
    """

    layers: Layers = "all"
    frozen_steps: int = 0


class Reuse(ExpertPerSource[ReuseConfig]):
    """Train one expert a source task; start from one of them on the target."""

    name = "reuse"
    about = "one expert a source task; the learner starts from an expert's weights"
    paper = "Nagib et al., Accelerating RL via Predictive Policy Transfer in 6G RAN Slicing, IEEE TNSM 20(2), 2023"
    config_class = ReuseConfig

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that starts from the chosen expert."""
        return replace(
            base,
            tasks=(target,),
            initial=one_source(self.name, sources),
            layers=self.config.layers,
            frozen_steps=self.config.frozen_steps,
        )
