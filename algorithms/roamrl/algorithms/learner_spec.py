"""What a learner is to do: members, module, losses and rollout plan, as one frozen record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.meta_learning import InnerRule, MetaSettings, check_meta
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

Layers = Literal["all", "trunk"]
Learned = Literal["all", "code"]
TaskGradientUse = Literal["none", "measure", "project"]
AlgorithmName = Literal["ppo", "dqn"]


@dataclass(frozen=True)
class PPOSettings:
    """Settings of proximal policy optimisation that all members of a learner share.

    Attributes:
        gamma: Discount a step (a family with longer steps raises it to the step's length).
        gae_lambda: Decay of generalised advantage estimation (Schulman et al., 2016).
        epochs: Passes over a rollout.
        minibatches: Minibatches a pass.
        value_coeff: Weight of the value loss.
        normalise_values: Whether the critic learns returns standardised by running statistics.
        compiled: Whether the gradient of the loss is compiled (:mod:`roamrl.algorithms.population.compiled`): faster,
            equal up to rounding, at the price of up to a minute's compiling the first time.
    """

    gamma: float = 0.95
    gae_lambda: float = 0.95
    epochs: int = 4
    minibatches: int = 4
    value_coeff: float = 0.5
    normalise_values: bool = True
    compiled: bool = False


@dataclass(frozen=True)
class DQNSettings:
    """Settings of double Q-learning from a replay that all members of a learner share.

    Attributes:
        gamma: Discount a step.
        n_step: Most steps whose rewards a target sums before it asks the target network.
        buffer_rows: Transitions a member keeps.
        batch_rows: Transitions a member learns from in an update.
        replay_ratio: Transitions learned from for each one made.
        learning_starts: Transitions a member makes before its first update.
        target_every: Updates between two copies to the target networks.
        epsilon: Probability of an action drawn evenly, over a member's environment steps.
    """

    gamma: float = 0.95
    n_step: int = 1
    buffer_rows: int = 50_000
    batch_rows: int = 256
    replay_ratio: float = 8.0
    learning_starts: int = 1_000
    target_every: int = 200
    epsilon: Fade = field(default_factory=lambda: Fade(1.0, 0.05, fading=50_000))

    def __post_init__(self) -> None:
        if not 0 < self.gamma < 1:
            raise InputError(f"dqn's gamma lies between 0 and 1, got {self.gamma}")
        least = min(self.n_step, self.buffer_rows, self.batch_rows, self.target_every)
        if least < 1 or self.replay_ratio <= 0 or self.learning_starts < 0:
            raise InputError("dqn's n_step, buffer_rows, batch_rows, target_every and replay_ratio must be positive")
        if max(self.epsilon.start, self.epsilon.end) > 1:
            raise InputError(f"epsilon is a probability, got {self.epsilon}")


@dataclass(frozen=True)
class MemberSpec:
    """One member of a population.

    Attributes:
        seed: Seed of its initialisation, action noise and environments.
        tasks: Pool its sub-environments go round; empty where the algorithm's config names a Gymnasium environment.
        initial: Policy it starts from; None for fresh weights.
        layers: Which of the initial policy's layers it takes: all, or all but the output layers.
        frozen_steps: Environment steps during which the layers taken stay fixed.
        lr: Adam's step size.
        entropy_coeff: Weight of the entropy bonus.
        clip: PPO's clip range.
        max_grad_norm: Bound on the member's own gradient norm.
        teaching: Teachers that act for it or are imitated by it; None for none.
        experts: Finished policies whose values its module compares with its own (module kind ``q`` with room for them).
        meta: How it learns to adapt, or adapts as it learned to; None for plain learning.
        learned: What learns: everything that is not frozen, or the code of the task alone (module kind ``conditioned``
            with embeddings).
    """

    seed: int
    tasks: tuple[Task, ...] = ()
    initial: PolicyBundle | None = None
    layers: Layers = "all"
    frozen_steps: int = 0
    lr: float = 1e-3
    entropy_coeff: float = 0.01
    clip: float = 0.2
    max_grad_norm: float = 0.5
    teaching: Teaching | None = None
    experts: tuple[PolicyBundle, ...] = ()
    meta: MetaSettings | None = None
    learned: Learned = "all"


@dataclass(frozen=True)
class Phase:
    """Iterations of one shape.

    Attributes:
        iterations: How many.
        envs_per_member: Sub-environments a member has in each.
        length: Steps a sub-environment makes in each.
        whole_episodes: Start every iteration at the beginning of new episodes (adaptation counts episodes);
            otherwise rollouts go on where the last iteration left them.
    """

    iterations: int
    envs_per_member: int
    length: int
    whole_episodes: bool = False

    @property
    def rows(self) -> int:
        """Environment steps a member makes in one iteration."""
        return self.envs_per_member * self.length


@dataclass(frozen=True)
class LearnerSpec:
    """A learner: a population, its module, its losses, its rollouts.

    Attributes:
        module: Module of every member.
        members: The population.
        phases: The rollout plan.
        ppo: Shared settings of PPO's loss.
        dqn: Shared settings of Q-learning, with ``algorithm`` dqn.
        snapshots: Iterations after which all members' weights are kept (0: before learning), increasing.
        algorithm: Name of the learning algorithm.
        task_gradients: What is done with the gradients of each task of a member's pool: nothing; once an iteration
            their conflict is measured; in every update conflicts are projected away.
        gammas: Discount a step of each member, in place of the shared settings' one; empty where all have that.
    """

    module: ModuleSpec
    members: tuple[MemberSpec, ...]
    phases: tuple[Phase, ...]
    ppo: PPOSettings = field(default_factory=PPOSettings)
    snapshots: tuple[int, ...] = ()
    algorithm: AlgorithmName = "ppo"
    dqn: DQNSettings | None = None
    task_gradients: TaskGradientUse = "none"
    gammas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.members or not self.phases:
            raise InputError("a learner needs at least one member and one phase")
        if any(not 0 <= at <= self.iterations for at in self.snapshots):
            raise InputError(f"snapshots {self.snapshots} must lie within 0..{self.iterations} iterations")
        q_learning = self.algorithm == "dqn"
        if q_learning != (self.dqn is not None) or q_learning != (self.module.kind == "q"):
            raise InputError(
                f"algorithm {self.algorithm!r} with module kind {self.module.kind!r}: 'dqn' goes with DQN settings and "
                "the kind 'q', 'ppo' with neither"
            )
        check_meta(self)
        self._check_gammas()

    def _check_gammas(self) -> None:
        if not self.gammas:
            return
        if self.meta is not None:
            raise InputError("members that learn to adapt share one discount; leave gammas out, and set ppo.gamma")
        if len(self.gammas) != len(self.members):
            raise InputError(f"{len(self.gammas)} gammas for {len(self.members)} members; give each one, or none")
        most = 1.0 if self.dqn is None else 1.0 - 1e-9
        if any(not 0 < gamma <= most for gamma in self.gammas):
            raise InputError(f"gammas lie above 0 and up to 1 (below 1 for 'dqn'), got {list(self.gammas)}")

    @property
    def gamma(self) -> float:
        """Discount a step that members have which have none of their own."""
        return self.ppo.gamma if self.dqn is None else self.dqn.gamma

    @property
    def member_gammas(self) -> tuple[float, ...]:
        """Discount a step of each member."""
        return self.gammas or (self.gamma,) * len(self.members)

    def of_members(self, share: slice) -> LearnerSpec:
        """Return the same learner with some of its members alone."""
        return replace(self, members=self.members[share], gammas=self.gammas[share])

    @property
    def meta(self) -> MetaSettings | None:
        """How the members learn to adapt, or adapt as they learned to; None for plain learning."""
        return self.members[0].meta

    @property
    def learns_to_adapt(self) -> bool:
        """Whether the members learn to adapt: policies adapted to tasks drawn for them play in their place."""
        return self.meta is not None and not isinstance(self.meta, InnerRule)

    @property
    def policies_per_member(self) -> int:
        """Policies that play for a member: one for each task drawn where it learns to adapt, else its own."""
        return 1 if self.meta is None or isinstance(self.meta, InnerRule) else self.meta.tasks

    @property
    def iterations(self) -> int:
        """Iterations in all."""
        return sum(phase.iterations for phase in self.phases)

    def phase_of(self, iteration: int) -> Phase:
        """Return the phase of iteration ``iteration`` (0-based)."""
        for phase in self.phases:
            if iteration < phase.iterations:
                return phase
            iteration -= phase.iterations
        raise IndexError(f"the learner has {self.iterations} iterations")

    def member_steps(self, iteration: int) -> int:
        """Return the environment steps a member has made after ``iteration`` iterations."""
        steps = 0
        for phase in self.phases:
            done = min(iteration, phase.iterations)
            steps += done * phase.rows
            iteration -= done
        return steps


def steady_phases(steps: int, envs_per_member: int, length: int) -> tuple[Phase, ...]:
    """Plan at least ``steps`` environment steps a member in iterations of one shape."""
    return (Phase(max(1, -(-steps // (envs_per_member * length))), envs_per_member, length),)


def episode_phases(points: Sequence[int], episode_steps: int, most: int) -> tuple[tuple[Phase, ...], tuple[int, ...]]:
    """Plan adaptation so that the learner updates when cumulative episodes reach each point.

    Between two points the episodes are cut into iterations of at most ``most``.

    Args:
        points: Increasing cumulative episode counts; a leading 0 stands for the unadapted policy.
        episode_steps: Steps an episode has.
        most: Most episodes an iteration.

    Returns:
        The phases, and the iteration after which each point is reached (0 for point 0).
    """
    if list(points) != sorted(set(points)) or not points or points[0] < 0 or points[-1] < 1:
        raise InputError(f"adaptation points {list(points)} must be increasing, not negative, and end above 0")
    phases: list[Phase] = []
    reached: list[int] = []
    done = iteration = 0
    for point in points:
        whole, rest = divmod(point - done, most)
        for count, episodes in ((whole, most), (1 if rest else 0, rest)):
            if count:
                phases.append(Phase(count, episodes, episode_steps, whole_episodes=True))
                iteration += count
        done = point
        reached.append(iteration)
    return tuple(phases), tuple(reached)
