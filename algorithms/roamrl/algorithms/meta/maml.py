"""MAML: weights from which a few gradient steps on a target go far, learned by differentiating through such steps.

    theta'_m = theta - alpha * grad L_m(theta);    min_theta E_{m ~ sources} [ L_m(theta'_m) ]

(Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks", ICML 2017). L is the
loss of the policy gradient on rollouts of theta, respectively theta'_m. The outer step is PPO's clipped surrogate on
the rollouts of the adapted policies, with the inner gradient's derivative of low variance (Rothfuss et al., "ProMP:
Proximal meta-policy search", ICLR 2019); the critic is learned by it alone. ``fomaml`` drops the second derivatives:
the gradient at theta'_m is taken as that at theta. With ``learn_rates`` alpha is learned along, one for each weight
matrix and bias (Li et al., "Meta-SGD", 2017). On the target the learner takes the inner step with each iteration's
episodes, or is fine-tuned by PPO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, get_args

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.meta_learning import InnerRule, MAMLSettings, Order
from roamrl.algorithms.population.modules.inner_rates import KIND
from roamrl.algorithms.strategy import Setting, Strategy, StrategyConfig, one_source
from roamrl.algorithms.strategy_needs import MEMORYLESS, Needs
from roamrl.envs.errors import unknown_name
from roamrl.envs.task import Task

AdaptBy = Literal["inner", "finetune"]

_RATES: Final = Needs(
    modules=("mlp",), cannot="cannot learn inner step sizes", instead="leave the setting 'learn_rates' out"
)


@dataclass(frozen=True)
class MAMLConfig(StrategyConfig):
    """Settings of MAML.

    Attributes:
        tasks: Source tasks drawn for a meta-iteration; a member's sub-environments are shared out among them.
        inner_steps: Inner gradient steps while meta-learning, each on a rollout of its own.
        inner_lr: Inner step size alpha, on the target too; a variant of it can be chosen on ``val``.
        learn_rates: Whether inner step sizes are learned, from ``inner_lr`` on.
        kl_coeff: Weight of the divergence of the policies to adapt from those that played, over the outer updates.
        adapt_by: How it learns on the target: by the inner step, one an iteration, or by PPO from the weights learned.
    """

    tasks: int = 8
    inner_steps: int = 1
    inner_lr: float = 0.1
    learn_rates: bool = False
    kl_coeff: float = 5e-4
    adapt_by: AdaptBy = "inner"

    def __post_init__(self) -> None:
        if self.adapt_by not in get_args(AdaptBy):
            raise unknown_name("way to adapt", str(self.adapt_by), get_args(AdaptBy))


class MAML(Strategy[MAMLConfig]):
    """Learn to adapt by gradient steps, differentiated through; take such steps on the target."""

    name = "maml"
    about = "weights from which a gradient step on the target goes far"
    paper = "Finn et al., Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, ICML 2017"
    config_class = MAMLConfig
    pretrains_on = "sources"
    needs: ClassVar[Needs] = Needs(modules=MEMORYLESS, cannot="cannot take inner steps")
    order: ClassVar[Order] = 2

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return the study's module, with room for inner step sizes where they are learned.

        Raises:
            InputError: If they are learned, and it is of a kind that cannot hold them.
        """
        if not self.config.learn_rates:
            return base
        _RATES.check(self.name, base, setting)
        return replace(base, kind=KIND)

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member that learns to adapt to tasks drawn from all of them."""
        config = self.config
        settings = MAMLSettings(config.tasks, config.inner_steps, config.inner_lr, self.order, config.kl_coeff)
        return (replace(base, tasks=tuple(tasks), meta=settings),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that starts from the weights learned."""
        rule = InnerRule(self.config.inner_lr) if self.config.adapt_by == "inner" else None
        return replace(base, tasks=(target,), initial=one_source(self.name, sources), meta=rule)


class FOMAML(MAML):
    """Learn to adapt by gradient steps whose own derivatives are dropped; take such steps on the target."""

    name = "fomaml"
    about = "MAML without second derivatives"
    order: ClassVar[Order] = 1
