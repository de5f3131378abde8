"""RL^2: a recurrent policy whose memory is the learning algorithm.

    max_theta E_{m ~ tasks} E [ sum_t gamma^t r_t ],
    a_t ~ pi_theta(. | h_t),   h_t = GRU(h_t-1; s_t, a_t-1, r_t-1, d_t-1)

with one discounted sum over a *trial*: several episodes on one task, through which the memory is kept. So it pays to
explore in a trial's first episodes for the sake of its later ones (Duan et al., "RL^2: fast reinforcement learning via
slow reinforcement learning", arXiv:1611.02779, 2016; Wang et al., "Learning to reinforcement learn", arXiv:1611.05763,
2016). As there, the ends of a trial's inner episodes count as any other step for advantages and values; only the
trial's own end is one, bootstrapped where a limit cut it. Learned by PPO instead of TRPO, with gradients through the
steps of a rollout (``pretrain.length``): the memory goes on from rollout to rollout, the gradient does not. Exploring
in one episode for the next pays only as far as the discount reaches: with gamma = .95, some twenty steps.

On a target nothing is learned by gradient: the policy plays, remembers, and plays better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import Setting, Strategy, StrategyConfig
from roamrl.algorithms.strategy_needs import Needs
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task


@dataclass(frozen=True)
class RL2Config(StrategyConfig):
    """Settings of RL^2.

    Attributes:
        trial_episodes: Episodes of a trial.
        memory: Recurrent units.
    """

    trial_episodes: int = 10
    memory: int = 128

    def __post_init__(self) -> None:
        if self.trial_episodes < 2:
            raise InputError(
                f"a trial of {self.trial_episodes} episodes leaves nothing to adapt to; rl2 needs at least 2 (for a "
                "memory of the episode alone, use 'joint' with the module kind 'gru')"
            )


class RL2(Strategy[RL2Config]):
    """Train one recurrent policy over trials on all source tasks; on a target it adapts by its memory."""

    name = "rl2"
    about = "one recurrent policy over trials of several episodes; adapts by its memory, without gradients"
    paper = "Duan et al., RL^2: Fast Reinforcement Learning via Slow Reinforcement Learning, arXiv:1611.02779, 2016"
    config_class = RL2Config
    pretrains_on = "sources"
    adapts = False
    in_context = True
    needs: ClassVar[Needs] = Needs(modules=("mlp", "gru"), flat=True, cannot="cannot keep a memory of its trials")

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a recurrent module with feedback, its encoder as wide as the study's module."""
        model = {name: value for name, value in base.model.items() if name != "shared_trunk"}
        spec = replace(base, kind="gru", model={**model, "memory": self.config.memory})
        return with_feedback(spec, trial_episodes=self.config.trial_episodes)

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member whose pool is all the tasks."""
        return (replace(base, tasks=tuple(tasks)),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Refuse: there is nothing to learn on a target.

        Raises:
            InputError: Always.
        """
        raise InputError("strategy 'rl2' adapts by its memory alone; to fine-tune a recurrent policy use 'joint'")
