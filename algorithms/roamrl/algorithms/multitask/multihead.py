"""Multihead: a trunk that all source tasks share, and output layers of each task's own.

    pi_m(a | s) = softmax(W_m f_theta(s) + b_m),   V_m(s) = sigma_m (v_m . g_theta(s) + c_m) + mu_m

(Caruana, Machine Learning 28, 1997; in deep reinforcement learning: Teh et al., NIPS 2017, sec. 4). The returns of each
task are standardised by mean mu_m and deviation sigma_m of their own, and the value's head is rescaled whenever these
move, so that what it says stays (PopArt: Hessel et al., AAAI 2019). The trunk is shared among tasks; whether actor and
critic share one is the module's ``shared_trunk``.

A target has no head. It is met by one ordinary policy: the trunk with the mean of all heads (a geometric mean of the
policies, up to normalisation), or with a fresh one; then PPO on the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.learner_spec import MemberSpec, TaskGradientUse
from roamrl.algorithms.population.modules.multihead import single_head
from roamrl.algorithms.strategy import Setting, one_source
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.transfer.reuse import Reuse, ReuseConfig
from roamrl.envs.task import Task


@dataclass(frozen=True)
class MultiheadConfig(ReuseConfig):
    """Settings of multihead training, and of the fine-tuning that follows it.

    Attributes:
        head: Output layers that a target is met with: the mean of all tasks', or fresh ones (which leave the policy
            without a zero-shot score worth the name).
    """

    head: Literal["mean", "fresh"] = "mean"


class Multihead(Reuse):
    """Train one trunk with a head for each source task; meet the target with the heads' mean."""

    name = "multihead"
    about = "one trunk over all source tasks, a head for each; the target gets their mean"
    paper = "Caruana, Multitask Learning, Machine Learning 28, 1997"
    config_class = MultiheadConfig
    config: MultiheadConfig
    task_gradients: ClassVar[TaskGradientUse] = "measure"
    needs: ClassVar[Needs] = Needs(modules=("mlp",), flat=True, cannot="cannot have output layers of each task")
    heads: ClassVar[dict[str, bool]] = {"actor_heads": True, "critic_heads": True}

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module with a head for each task of the pool; on a target the study's own."""
        if setting.adapting:
            return base
        model = {**base.model, "tasks": setting.tasks, **self.heads}
        return replace(base, kind="multihead", model=model, extras=Extras("number"))

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member whose pool is all the tasks."""
        return (replace(base, tasks=tuple(tasks)),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that starts from the trunk and one head."""
        member = super().adapt(target, [single_head(one_source(self.name, sources))], base)
        return replace(member, layers="trunk") if self.config.head == "fresh" else member
