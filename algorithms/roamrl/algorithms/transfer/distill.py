"""Distill: the learner imitates experts, before it learns from rewards or beside it.

    min_theta E_tau [ sum_t H(pi_E(.|s_t) || pi_theta(.|s_t)) ],   H(p || q) = -sum_a p(a) log q(a),

on states that experts or the learner itself visit (Rusu et al., ICLR 2016; Czarnecki et al., AISTATS 2019; Zhu et al.,
IEEE TPAMI 45(11), 2023, sec. 4.2.1). pi_E is the even mixture of all experts given. As *pretraining* the learner only
imitates for some steps, then learns by PPO alone; as an *auxiliary* loss the cross-entropy is added to PPO's with a
weight that falls linearly to 0. The student may be smaller than its teachers: an arm's ``module`` says how it is built.
The critic learns from the target's rewards from the first step, corrected by V-trace where experts acted
(:mod:`roamrl.algorithms.transfer.guided`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import StrategyConfig, one_source
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.algorithms.transfer.experts import ASKED_WITHOUT_MEMORY, ExpertPerSource
from roamrl.envs.task import Task


@dataclass(frozen=True)
class DistillConfig(StrategyConfig):
    """Settings of distillation.

    Attributes:
        mode: Imitate first and learn from rewards later, or both at once.
        visited_by: Whose states are imitated on: experts act while imitation lasts (as an auxiliary loss with a
            probability that falls like its weight), or the learner acts itself.
        weight: Weight of the cross-entropy (at first).
        distill_steps: Environment steps on the target that imitation lasts.
    """

    mode: Literal["pretraining", "auxiliary"] = "auxiliary"
    visited_by: Literal["expert", "learner"] = "learner"
    weight: float = 1.0
    distill_steps: int = 20_000


class Distill(ExpertPerSource[DistillConfig]):
    """Train one expert a source task; let a fresh learner imitate experts on the target."""

    name = "distill"
    about = "one expert a source task; a fresh learner imitates experts on the target"
    paper = "Rusu et al., Policy Distillation, ICLR 2016"
    config_class = DistillConfig
    needs: ClassVar[Needs] = ASKED_WITHOUT_MEMORY

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a fresh member on the target that imitates the experts."""
        one_source(self.name, sources)
        config, steps = self.config, self.config.distill_steps
        first = config.mode == "pretraining"
        lasting = {"held": steps} if first else {"fading": steps}
        teaching = Teaching(
            tuple(sources),
            guide=Fade(1.0, **lasting) if config.visited_by == "expert" else Fade(),
            imitate=Fade(config.weight, **lasting),
            reinforce_from=steps if first else 0,
        )
        return replace(base, tasks=(target,), teaching=teaching)
