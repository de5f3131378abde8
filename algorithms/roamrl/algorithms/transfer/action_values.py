"""Strategies on action values: Q-learning alone, and beside several experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import AlgorithmName, MemberSpec
from roamrl.algorithms.strategy import Setting, StrategyConfig, one_source
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.transfer.experts import ExpertPerSource
from roamrl.algorithms.transfer.guided import StartsFrom
from roamrl.envs.task import Task

A_VALUE_EACH: Final = Needs(actions=("discrete",))
"""Who learns a value for each action needs actions that can be counted."""


def action_value_module(
    base: ModuleSpec, experts: int = 0, reward_weights: tuple[int, int] | None = None
) -> ModuleSpec:
    """Return the module of action values with the hidden layers of a study's policy module.

    Args:
        base: The study's module.
        experts: Finished modules beside the learner's own network.
        reward_weights: Where the observation shows the reward's weights; None for plain action values.
    """
    model = {name: value for name, value in base.model.items() if name in ("hidden", "activation", "normalise")}
    if experts:
        model["experts"] = experts
    if reward_weights is not None:
        model["reward_weights"] = list(reward_weights)
    return ModuleSpec("q", base.observation_space, base.action_space, model)


@dataclass(frozen=True)
class ManyExpertsConfig(StrategyConfig):
    """Settings of strategies whose learner acts beside several experts.

    Attributes:
        starts_from: Whether the learner's own network has fresh weights or the first expert's.
    """

    starts_from: StartsFrom = "expert"


class BesideExperts(ExpertPerSource[ManyExpertsConfig]):
    """Trains one expert a source task; on the target all experts given stand beside the learner's own network."""

    config_class = ManyExpertsConfig
    algorithm: ClassVar[AlgorithmName] = "dqn"
    needs: ClassVar[Needs] = A_VALUE_EACH

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target with the experts beside it."""
        first = one_source(self.name, sources)
        initial = first if self.config.starts_from == "expert" else None
        return replace(base, tasks=(target,), initial=initial, experts=tuple(sources))

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module of action values with room for the experts."""
        return action_value_module(base, experts=setting.sources)
