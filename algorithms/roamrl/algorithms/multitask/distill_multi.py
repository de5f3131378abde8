"""Distill-multi: a specialist for each source task, all of them distilled into one student.

    min_theta E_m E_{tau ~ (pi_theta, m)} [ sum_t H(pi_m(.|s_t) || pi_theta(.|s_t)) ],   pi_m the specialist of task m,

on the states that the student itself visits (Rusu et al., "Policy distillation", ICLR 2016; Parisotto, Ba and
Salakhutdinov, "Actor-mimic", ICLR 2016). The specialists are those that ``reuse`` trains: arms share them. The student
goes round the source tasks like a joint policy and listens in each to its specialist alone; its critic learns from the
rewards. With ``auxiliary`` it learns from rewards beside the imitation, whose weight then falls linearly to 0 over
``distill_steps``. On the target it is fine-tuned by PPO.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.algorithms.transfer.experts import ASKED_WITHOUT_MEMORY
from roamrl.algorithms.transfer.reuse import Reuse, ReuseConfig
from roamrl.envs.task import Task


@dataclass(frozen=True)
class DistillMultiConfig(ReuseConfig):
    """Settings of distilling specialists into one student, and of the fine-tuning that follows it.

    Attributes:
        mode: Imitate alone to the end of the student's training, or beside learning from rewards.
        weight: Weight of the cross-entropy (at first).
        distill_steps: Environment steps over which the weight falls to 0 in mode ``auxiliary``.
    """

    mode: Literal["pure", "auxiliary"] = "pure"
    weight: float = 1.0
    distill_steps: int = 500_000


class DistillMulti(Reuse):
    """Train a specialist for each source task, distil them into one policy, fine-tune that on the target."""

    name = "distill-multi"
    about = "specialists of all source tasks distilled into one policy, fine-tuned"
    paper = "Rusu et al., Policy Distillation, ICLR 2016"
    config_class = DistillMultiConfig
    config: DistillMultiConfig
    consolidates = True
    needs: ClassVar[Needs] = ASKED_WITHOUT_MEMORY

    def consolidate(self, tasks: Sequence[Task], experts: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return the student: a fresh member on all tasks that imitates each task's specialist there."""
        config = self.config
        pure = config.mode == "pure"
        teaching = Teaching(
            tuple(experts),
            imitate=Fade(config.weight, config.weight) if pure else Fade(config.weight, fading=config.distill_steps),
            reinforce_from=sys.maxsize if pure else 0,
            by_task=True,
        )
        return replace(base, tasks=tuple(tasks), teaching=teaching)
