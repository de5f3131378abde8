"""Guided: experts act for the learner with a probability that decays, and the learner learns from what they did.

A step's action is drawn from the mixture mu = (1 - g_t) pi_L + g_t pi_E, with g falling linearly to 0 (policy reuse:
Fernández and Veloso, AAMAS 2006; Zhu et al., IEEE TPAMI 45(11), 2023, sec. 4.3). pi_E is the even mixture of all
experts given. What the experts did is off the learner's policy. It is corrected for by importance

    rho = min(1, pi_L,old(a|s) / mu(a|s))

with mu the mixture that really acted: advantages and the critic's targets are V-trace's (Espeholt et al., ICML 2018),
every row of PPO's surrogate is weighted by its rho, and the clip stays centred on the learner's own old policy
pi_L,old. V-trace rather than the plain weights of whole trajectories, because their variance grows with the length of
the episode; the clip on pi_L / pi_L,old rather than on pi_L / mu, because that ratio starts far from 1 wherever the
expert acted, and would clip away the very rows that teach.
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

StartsFrom = Literal["random", "expert"]


@dataclass(frozen=True)
class GuidedConfig(StrategyConfig):
    """Settings of guided reuse.

    Attributes:
        guide: Probability that an expert acts in the first step, within 0..1.
        guided_steps: Environment steps on the target over which it falls to 0.
        starts_from: Whether the learner has fresh weights or the first expert's.
    """

    guide: float = 0.9
    guided_steps: int = 20_000
    starts_from: StartsFrom = "random"


class Guided(ExpertPerSource[GuidedConfig]):
    """Train one expert a source task; let experts act for the learner on the target, less and less."""

    name = "guided"
    about = "one expert a source task; experts act for the learner with a decaying probability"
    paper = "Fernández and Veloso, Probabilistic policy reuse in a reinforcement learning agent, AAMAS 2006"
    config_class = GuidedConfig
    needs: ClassVar[Needs] = ASKED_WITHOUT_MEMORY

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return a member on the target that experts act for."""
        first = one_source(self.name, sources)
        return replace(
            base,
            tasks=(target,),
            initial=first if self.config.starts_from == "expert" else None,
            teaching=Teaching(tuple(sources), guide=Fade(self.config.guide, fading=self.config.guided_steps)),
        )
