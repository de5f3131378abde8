"""What a study file may say of learning: module, losses, budgets and step sizes, in pretraining and on targets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from roamrl.envs.canonical import JSON


class Entry(BaseModel):
    """A part of a study: frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModuleEntry(Entry):
    """The policy module of every learner: its kind and the kind's own settings."""

    kind: str = "mlp"
    model: dict[str, JSON] = Field(default_factory=dict)


class PPOEntry(Entry):
    """Settings of the loss that all learners share (see ``roamrl.algorithms.learner_spec.PPOSettings``)."""

    gamma: float = Field(0.95, gt=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    epochs: int = Field(4, ge=1)
    minibatches: int = Field(4, ge=1)
    value_coeff: float = Field(0.5, ge=0)
    normalise_values: bool = True
    compiled: bool = False


class DQNEntry(Entry):
    """Settings of Q-learning that all learners of action values share (``roamrl.algorithms.learner_spec.DQNSettings``).

    Attributes:
        epsilon_start: Probability of an evenly drawn action at first.
        epsilon_end: That probability at last.
        epsilon_steps: Environment steps over which it falls.
    """

    gamma: float = Field(0.95, gt=0, lt=1)
    n_step: int = Field(1, ge=1)
    buffer_rows: int = Field(50_000, ge=1)
    batch_rows: int = Field(256, ge=1)
    replay_ratio: float = Field(8.0, gt=0)
    learning_starts: int = Field(1_000, ge=0)
    target_every: int = Field(200, ge=1)
    epsilon_start: float = Field(1.0, ge=0, le=1)
    epsilon_end: float = Field(0.05, ge=0, le=1)
    epsilon_steps: int = Field(50_000, ge=0)


class AdaptDQNEntry(DQNEntry):
    """Settings of Q-learning on a target, where every episode counts: it learns sooner and explores less."""

    learning_starts: int = Field(200, ge=0)
    epsilon_start: float = Field(0.2, ge=0, le=1)
    epsilon_end: float = Field(0.02, ge=0, le=1)
    epsilon_steps: int = Field(10_000, ge=0)


class PretrainEntry(Entry):
    """Budget and step sizes of pretraining.

    Attributes:
        steps: Environment steps a member (rounded up to whole iterations).
        seeds: Independent members a source task (or a joint policy, or a target of specialists).
        envs_per_member: Sub-environments a member steps at once.
        length: Steps a sub-environment makes an iteration.
        lr: Adam's step size.
        entropy_coeff: Weight of the entropy bonus.
        clip: PPO's clip range.
        max_grad_norm: Bound on a member's gradient norm.
    """

    steps: int = Field(1_000_000, ge=1)
    seeds: int = Field(4, ge=1)
    envs_per_member: int = Field(32, ge=1)
    length: int = Field(32, ge=1)
    lr: float = Field(1e-3, gt=0)
    entropy_coeff: float = Field(0.01, ge=0)
    clip: float = Field(0.2, gt=0)
    max_grad_norm: float = Field(0.5, gt=0)


class TuneEntry(Entry):
    """Choice of the adaptation step size on the ``val`` split.

    Attributes:
        lr: Candidates.
        seeds: Members a candidate and val task.
        up_to: Target episodes up to which candidates are compared (the last point not above it counts).
    """

    lr: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    seeds: int = Field(1, ge=1)
    up_to: int = Field(100, ge=1)


class AdaptEntry(Entry):
    """How a target is met.

    Attributes:
        episodes: Cumulative target episodes at which the adapting policy is evaluated.
        per_iteration: Most episodes between two updates.
        seeds: Members a target and arm.
        tune: Choice of the step size on ``val``.
        entropy_coeff: Weight of the entropy bonus.
        clip: PPO's clip range.
        max_grad_norm: Bound on a member's gradient norm.
        dqn: Shared settings of Q-learning on targets.
    """

    episodes: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 50, 100)
    per_iteration: int = Field(10, ge=1)
    seeds: int = Field(2, ge=1)
    tune: TuneEntry = TuneEntry()
    entropy_coeff: float = Field(0.01, ge=0)
    clip: float = Field(0.2, gt=0)
    max_grad_norm: float = Field(0.5, gt=0)
    dqn: AdaptDQNEntry = AdaptDQNEntry()

    @model_validator(mode="after")
    def _increasing(self) -> AdaptEntry:
        points = self.episodes
        if list(points) != sorted(set(points)) or len(points) < 2 or points[0] != 0:
            raise ValueError("adapt.episodes must start at 0 and increase, e.g. [0, 1, 2, 5, 10]")
        if self.tune.up_to < points[1]:
            raise ValueError(f"adapt.tune.up_to must reach the first point after 0, which is {points[1]}")
        return self
