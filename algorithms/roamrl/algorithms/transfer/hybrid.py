"""Hybrid: guided reuse first, then distillation with a decaying weight.

    steps 0 .. G:      a ~ (1 - g_t) pi_L + g_t pi_E, g falling to 0; PPO corrected by V-trace (guided);
    steps G .. G + D:  a ~ pi_L; loss = PPO + w_t H(pi_E || pi_L), w falling to 0 (distill);
    beyond:            PPO.

After Nagib, Abou-Zeid and Hassanein, "Safe and accelerated deep reinforcement learning-based O-RAN slicing: a hybrid
transfer learning approach", IEEE JSAC 42(2), 2024, who combine policy reuse and distillation. Their schedule is not
public: G, D, g and w are this project's own, chosen on ``val`` by the study and kept with its results. The learner
starts from fresh weights or from the first expert's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import StrategyConfig, one_source
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.algorithms.transfer.experts import ASKED_WITHOUT_MEMORY, ExpertPerSource
from roamrl.algorithms.transfer.guided import StartsFrom
from roamrl.envs.task import Task


@dataclass(frozen=True)
class HybridConfig(StrategyConfig):
    """Settings of the hybrid.

    Attributes:
        guide: Probability that an expert acts in the first step, within 0..1.
        guided_steps: Environment steps on the target over which it falls to 0.
        weight: Weight of the cross-entropy when distillation begins.
        distill_steps: Environment steps over which it falls to 0.
        starts_from: Whether the learner has fresh weights or the first expert's.
    """

    guide: float = 0.9
    guided_steps: int = 5_000
    weight: float = 1.0
    distill_steps: int = 20_000
    starts_from: StartsFrom = "expert"


class Hybrid(ExpertPerSource[HybridConfig]):
    """Train one expert a source task; on the target experts act at first and are imitated later."""

    name = "hybrid"
    about = "guided reuse, then distillation with a decaying weight"
    paper = "Nagib et al., Safe and Accelerated DRL-Based O-RAN Slicing: A Hybrid Transfer Learning Approach, JSAC 2024"
    config_class = HybridConfig
    needs: ClassVar[Needs] = ASKED_WITHOUT_MEMORY

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that experts act for first and that imitates them later."""
        first, config = one_source(self.name, sources), self.config
        teaching = Teaching(
            tuple(sources),
            guide=Fade(config.guide, fading=config.guided_steps),
            imitate=Fade(config.weight, after=config.guided_steps, fading=config.distill_steps),
        )
        initial = first if config.starts_from == "expert" else None
        return replace(base, tasks=(target,), initial=initial, teaching=teaching)
