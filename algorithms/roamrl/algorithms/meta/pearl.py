"""PEARL: a policy on a latent task variable, inferred from the trial's transitions and explored by posterior sampling.

    q(z | c_1..n) = N(0, I) prod_i N(z; f(c_i)),   a ~ pi(. | s, z),   z ~ q(z | c_1..n),
    loss = PPO(pi, V; z) + beta KL(q(z | c) || N(0, I))

over trials of several episodes on one task (Rakelly et al., "Efficient off-policy meta-reinforcement learning via
probabilistic context variables", ICML 2019). In each episode one draw of z is held (its noise; the belief behind it
narrows step by step), so that a policy that is unsure tries one hypothesis at a time; on a target nothing is learned by
gradient.

The published algorithm is off-policy: soft actor-critic on a replay of each task, the encoder trained by the critic's
Bellman error. Ours learns on-policy by PPO, because the families act in several choices at once (MultiBinary) or in
numbers (Box), which the engine's Q-learning refuses. What that costs: (1) sample efficiency, the very point of the
paper: every transition is learned from in one iteration and then dropped; (2) a state's value V(s, z) tells tasks apart
only where their values differ, while Q(s, a, z) also tells which action is good, so here the encoder learns from the
policy's gradient too; (3) gradients reach the encoder through the transitions of the same rollout alone, older ones
count as they were encoded then; (4) acting data and context are the same transitions, the paper's separate samplers
have no counterpart.
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
class PearlConfig(StrategyConfig):
    """Settings of PEARL.

    Attributes:
        trial_episodes: Episodes of a trial.
        latent: Numbers in z.
        encoder: Width of each hidden layer of f.
        kl_weight: beta.
    """

    trial_episodes: int = 10
    latent: int = 5
    encoder: tuple[int, ...] = (64, 64)
    kl_weight: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", tuple(self.encoder))
        if self.trial_episodes < 2:
            raise InputError(
                f"a trial of {self.trial_episodes} episodes leaves nothing to adapt to; pearl needs at least 2"
            )


class Pearl(Strategy[PearlConfig]):
    """Train one policy and its belief about the task over trials; on a target it adapts by that belief."""

    name = "pearl"
    about = "one policy on a latent variable inferred from transitions; adapts by inference, without gradients"
    paper = "Rakelly et al., Efficient Off-Policy Meta-RL via Probabilistic Context Variables, ICML 2019"
    config_class = PearlConfig
    pretrains_on = "sources"
    adapts = False
    in_context = True
    needs: ClassVar[Needs] = Needs(modules=("mlp",), flat=True, cannot="cannot act on an inferred task variable")

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module with an encoder of transitions, actor and critic as wide as the study's module."""
        config = self.config
        model = {name: value for name, value in base.model.items() if name != "shared_trunk"}
        own = {"latent": config.latent, "encoder": list(config.encoder), "kl_weight": config.kl_weight}
        spec = replace(base, kind="latent", model={**model, **own})
        return with_feedback(spec, noise=config.latent, trial_episodes=config.trial_episodes)

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member whose pool is all the tasks."""
        return (replace(base, tasks=tuple(tasks)),)

    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Refuse: there is nothing to learn on a target.

        Raises:
            InputError: Always.
        """
        raise InputError("strategy 'pearl' adapts by its belief about the task alone; to learn on a target use 'joint'")
