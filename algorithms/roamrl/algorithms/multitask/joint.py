"""Joint: one policy trained over all source tasks at once, then fine-tuned on the target.

    max_theta E_{m ~ tasks} E_{tau ~ (pi_theta, m)} [sum_t gamma^t r_m(s_t, a_t)]

Every sub-environment of the member goes round the pool of tasks, one task an episode. Fine-tuning is reuse with the
joint policy as the expert. The oldest baseline of generalisation, and often the strongest (Cobbe et al., ICML 2019;
Mandi et al., NeurIPS 2022, on fine-tuning against meta-learning).

What it knows of the task is, by default, what the family config lets every policy observe. Beside that it can be
*conditioned*: pi_theta(a | s, z_m), with z_m the true context (``context``: what could be had if the context were
known; on a target it is told the target's), one of K (``one-hot``), or an embedding learned with the policy
(``embedding``; Hausman et al., ICLR 2018). A target has no number: the policy meets it with the mean of the codes it
learned, and with an embedding the new code can be all that learns there (``learned: code``), a handful of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.learner_spec import Learned, MemberSpec, TaskGradientUse
from roamrl.algorithms.population.modules.conditioned import for_a_new_task
from roamrl.algorithms.strategy import Setting, one_source
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.transfer.reuse import Reuse, ReuseConfig
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

Condition = Literal["none", "context", "one-hot", "embedding"]

_TOLD_BY_CODE: Final = Needs(
    modules=("mlp",),
    flat=True,
    cannot="cannot tell its policy the task by a code",
    instead="set its 'condition' to context or none",
)


@dataclass(frozen=True)
class JointConfig(ReuseConfig):
    """Settings of joint training, and of the fine-tuning that follows it.

    Attributes:
        condition: What the policy is told of the task beside its observation.
        width: Numbers of a learned embedding.
        learned: What learns on the target: everything, or (with an embedding) the target's code alone.
    """

    condition: Condition = "none"
    width: int = 8
    learned: Learned = "all"

    def __post_init__(self) -> None:
        if self.learned == "code" and self.condition != "embedding":
            raise InputError(
                "'learned: code' goes with 'condition: embedding', the one kind of code that can be learned"
            )


class Joint(Reuse):
    """Train one policy on all source tasks; fine-tune it on the target."""

    name = "joint"
    about = "one policy over all source tasks, fine-tuned on the target"
    paper = "Cobbe et al., Quantifying Generalization in Reinforcement Learning, ICML 2019"
    config_class = JointConfig
    config: JointConfig
    pretrains_on = "sources"
    task_gradients: ClassVar[TaskGradientUse] = "measure"

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return the study's module, told of the task as the config says."""
        condition = self.config.condition
        if condition == "none":
            return base
        if condition == "context":
            return replace(base, extras=Extras("context", setting.contexts))
        if setting.adapting and condition == "one-hot":
            return base
        _TOLD_BY_CODE.check(self.name, base, setting)
        model = {**base.model, "tasks": setting.tasks, "code": condition}
        if condition == "embedding":
            model["width"] = self.config.width
        return replace(base, kind="conditioned", model=model, extras=Extras("number"))

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member whose pool is all the tasks."""
        return (replace(base, tasks=tuple(tasks)),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that starts from the joint policy."""
        source = one_source(self.name, sources)
        if source.spec.kind == "conditioned":
            source = for_a_new_task(source)
        return replace(super().adapt(target, [source], base), learned=self.config.learned)
