"""Reptile: weights near good ones for every source task, by moving towards where training on each of them leads.

    theta <- theta + epsilon (mean_m theta'_m - theta),   theta'_m: theta after K updates of PPO on task m

(Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", arXiv:1803.02999, 2018). The moments of the
inner updates start anew with each meta-iteration; epsilon falls linearly. K = 1 would be joint training on the tasks'
mean; from K = 2 on the step also aligns the gradients of a task's successive rollouts (sec. 5 there). On the target the
learner goes on with PPO, as it did on the source tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.meta_learning import ReptileSettings
from roamrl.algorithms.strategy import Strategy, StrategyConfig, one_source
from roamrl.envs.task import Task


@dataclass(frozen=True)
class ReptileConfig(StrategyConfig):
    """Settings of Reptile.

    Attributes:
        tasks: Source tasks drawn for a meta-iteration; a member's sub-environments are shared out among them.
        inner_steps: Rollouts and PPO updates on each task in a meta-iteration.
        rate: Part of the way that the first meta-iteration goes, epsilon.
        final_rate: The same of the last.
    """

    tasks: int = 8
    inner_steps: int = 3
    rate: float = 1.0
    final_rate: float = 0.1


class Reptile(Strategy[ReptileConfig]):
    """Move towards where PPO leads on each source task; go on with PPO on the target."""

    name = "reptile"
    about = "weights near good ones for every source task, fine-tuned on the target"
    paper = "Nichol et al., On First-Order Meta-Learning Algorithms, arXiv:1803.02999, 2018"
    config_class = ReptileConfig
    pretrains_on = "sources"

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member that learns near good weights for tasks drawn from all of them."""
        config = self.config
        settings = ReptileSettings(config.tasks, config.inner_steps, config.rate, config.final_rate)
        return (replace(base, tasks=tuple(tasks), meta=settings),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that starts from the weights learned."""
        return replace(base, tasks=(target,), initial=one_source(self.name, sources))
