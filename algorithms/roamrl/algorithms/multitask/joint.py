"""Joint: one policy trained over all source tasks at once, then fine-tuned on the target.

max_theta E_{m ~ tasks} E_{tau ~ (pi_theta, m)} [sum_t gamma^t r_m(s_t, a_t)]: every sub-environment of the member goes
round the pool of tasks, one task an episode. Whether the policy sees the context is the family config's choice of
observed variables. Fine-tuning is reuse with the joint policy as the expert. The oldest baseline of generalisation,
and often the strongest (Cobbe et al., ICML 2019; Mandi et al., NeurIPS 2022, on fine-tuning against meta-learning).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.transfer.reuse import Reuse, ReuseConfig
from roamrl.envs.task import Task


@dataclass(frozen=True)
class JointConfig(ReuseConfig):
    """Settings of joint training: those of the fine-tuning that follows it."""


class Joint(Reuse):
    """Train one policy on all source tasks; fine-tune it on the target."""

    name = "joint"
    about = "one policy over all source tasks, fine-tuned on the target"
    paper = "Cobbe et al., Quantifying Generalization in Reinforcement Learning, ICML 2019"
    config_class = JointConfig
    pretrains_on = "sources"

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member whose pool is all the tasks."""
        return (replace(base, tasks=tuple(tasks)),)
