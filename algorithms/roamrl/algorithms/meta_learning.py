"""Meta-learning: what takes the place of a member's own learning, so that a few steps on a new task go far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.family import family_of
from roamrl.envs.task import Task

if TYPE_CHECKING:
    from roamrl.algorithms.learner_spec import LearnerSpec, Phase

Order = Literal[1, 2]


@dataclass(frozen=True)
class MAMLSettings:
    """Model-agnostic meta-learning; see :mod:`roamrl.algorithms.population.maml` for the update.

    A meta-iteration takes ``steps + 1`` iterations of the learner's plan, each one rollout in which a member's
    sub-environments are shared out evenly among the tasks drawn: ``steps`` rollouts to adapt on, and one of the adapted
    policies to learn from.

    Attributes:
        tasks: Tasks drawn from the member's pool for a meta-iteration, M.
        steps: Inner gradient steps, K.
        inner_lr: Inner step size alpha; where the module learns rates of its own, what they start from.
        order: 2 differentiates through the inner steps, 1 takes the adapted weights' gradient as it is.
        kl_coeff: Weight of the divergence of the policies to adapt from those that played, over the outer updates.
    """

    tasks: int = 8
    steps: int = 1
    inner_lr: float = 0.1
    order: Order = 2
    kl_coeff: float = 5e-4

    def __post_init__(self) -> None:
        _check_counts(self.tasks, self.steps)
        _check_rate(self.inner_lr)
        if self.order not in get_args(Order):
            raise InputError(f"order is 1 or 2, got {self.order!r}")
        if self.kl_coeff < 0:
            raise InputError(f"kl_coeff must not be negative, got {self.kl_coeff}")

    @property
    def rollouts(self) -> int:
        """Iterations of the plan that a meta-iteration takes."""
        return self.steps + 1


@dataclass(frozen=True)
class ReptileSettings:
    """Reptile; see :mod:`roamrl.algorithms.population.reptile` for the update.

    A meta-iteration takes ``steps`` iterations of the learner's plan: as many PPO updates on each of the tasks drawn,
    among which a member's sub-environments are shared out evenly.

    Attributes:
        tasks: Tasks drawn from the member's pool for a meta-iteration, M.
        steps: Rollouts and PPO updates on each task, K.
        rate: Part of the way to the adapted weights' mean that the first meta-iteration goes, epsilon.
        final_rate: The same of the last; linear in between.
    """

    tasks: int = 8
    steps: int = 3
    rate: float = 1.0
    final_rate: float = 0.1

    def __post_init__(self) -> None:
        _check_counts(self.tasks, self.steps)
        for rate in (self.rate, self.final_rate):
            if not 0 < rate <= 1:
                raise InputError(f"reptile's rates lie above 0 and at most at 1, got {rate}")

    @property
    def rollouts(self) -> int:
        """Iterations of the plan that a meta-iteration takes."""
        return self.steps


@dataclass(frozen=True)
class InnerRule:
    """MAML's inner step alone, on a target: one plain gradient step of the policy an iteration.

    Attributes:
        lr: Step size alpha; where the module learned rates of its own, what they start from.
    """

    lr: float = 0.1

    def __post_init__(self) -> None:
        _check_rate(self.lr)


MetaSettings = MAMLSettings | ReptileSettings | InnerRule

_KINDS: Mapping[str, type[MetaSettings]] = {"maml": MAMLSettings, "reptile": ReptileSettings, "inner": InnerRule}


def meta_to_json(settings: MetaSettings | None) -> dict[str, Any] | None:
    """Return settings as JSON values."""
    if settings is None:
        return None
    (kind,) = (name for name, own in _KINDS.items() if isinstance(settings, own))
    return {"kind": kind, **asdict(settings)}


def meta_from_json(value: Mapping[str, Any] | None) -> MetaSettings | None:
    """Read :func:`meta_to_json`'s form.

    Raises:
        InputError: If the kind is unknown.
    """
    if value is None:
        return None
    if value["kind"] not in _KINDS:
        raise unknown_name("kind of meta-learning", str(value["kind"]), _KINDS)
    return _KINDS[value["kind"]](**{name: setting for name, setting in value.items() if name != "kind"})


def check_meta(spec: LearnerSpec) -> None:
    """Check that a learner can do what its members' meta-learning asks.

    Raises:
        InputError: If it cannot.
    """
    settings = spec.members[0].meta
    if any(member.meta != settings for member in spec.members):
        raise InputError("members of one learner share their meta-learning settings; make a learner for each")
    if settings is None:
        return
    for number, member in enumerate(spec.members):
        if member.teaching is not None or member.experts or member.frozen_steps or member.learned != "all":
            raise InputError(f"member {number}: meta-learning goes with no teachers, experts or frozen parameters")
    if spec.task_gradients != "none":
        raise InputError(
            f"meta-learning takes the gradient of each task by itself; task_gradients={spec.task_gradients!r}"
        )
    if spec.algorithm != "ppo":
        raise InputError(f"meta-learning is of policies learned by 'ppo', not by {spec.algorithm!r}")
    if not isinstance(settings, InnerRule):
        _check_tasks(spec, settings)


def check_whole_episodes(tasks: Iterable[Task], phases: Sequence[Phase], trial_episodes: int) -> None:
    """Check that rollouts of members that learn to adapt are whole episodes (or trials of so many of them).

    Raises:
        InputError: If a phase's length is no multiple of their steps.
    """
    distinct = set(tasks)
    steps = trial_episodes * max(family_of(list(distinct)).episode_steps(task.config) for task in distinct)
    for phase in phases:
        if phase.length % steps:
            raise InputError(
                f"rollouts of {phase.length} steps in episodes of {steps}: meta-learning starts every rollout at the "
                f"beginning of episodes and would never see their ends; make the length a multiple of {steps}, or the "
                "family's episodes shorter"
            )


def _check_tasks(spec: LearnerSpec, settings: MAMLSettings | ReptileSettings) -> None:
    for number, member in enumerate(spec.members):
        if len(set(member.tasks)) < settings.tasks:
            raise InputError(
                f"member {number} has a pool of {len(set(member.tasks))} tasks, a meta-iteration draws "
                f"{settings.tasks}; give it more tasks, or lower 'tasks'"
            )
    for phase in spec.phases:
        if phase.envs_per_member % settings.tasks:
            raise InputError(
                f"{phase.envs_per_member} sub-environments a member cannot be shared out evenly among {settings.tasks} "
                f"tasks; make envs_per_member a multiple of it"
            )
    if spec.iterations < settings.rollouts:
        raise InputError(
            f"a meta-iteration takes {settings.rollouts} iterations, the plan has {spec.iterations}; give it more steps"
        )
    if spec.module.extras.task == "number":
        raise InputError("meta-learned policies find out their task; do not give them its number")


def _check_counts(tasks: int, steps: int) -> None:
    if tasks < 1 or steps < 1:
        raise InputError(f"meta-learning needs at least one task and one step, got tasks={tasks} and steps={steps}")


def _check_rate(rate: float) -> None:
    if not rate > 0:
        raise InputError(f"an inner step size must be positive, got {rate}")
