"""From what a study and an arm say to a learner: its module, its algorithm, its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.strategy import Setting, Strategy, make_strategy
from roamrl.algorithms.teaching import Fade
from roamrl.envs.family import get_family
from roamrl.envs.task import Task
from roamrl.platform.study.learning_entries import DQNEntry
from roamrl.platform.study.schema import Study


def arm_strategy(study: Study, arm: str, settings: Mapping[str, Any] | None = None) -> Strategy[Any]:
    """Return an arm's strategy, made with its settings and those that take their place."""
    entry = study.arms[arm]
    return make_strategy(entry.strategy, {**entry.settings, **(settings or {})})


def module_spec(study: Study, arm: str, tasks: Sequence[Task], *, adapting: bool, sources: int) -> ModuleSpec:
    """Return the module of an arm's learners.

    Args:
        study: The study.
        arm: The arm.
        tasks: The pool of one of its members, as its policies see it.
        adapting: Whether it meets targets (an arm's own ``module`` is for that alone).
        sources: Policies a member draws on; 0 while pretraining.

    Raises:
        InputError: If the arm's strategy cannot work with the family's actions or reward.
    """
    family, config = get_family(study.family), dict(tasks[0].config)
    observation, action = family.spaces(config)
    own = study.arms[arm].module if adapting else {}
    base = ModuleSpec(study.module.kind, observation, action, {**study.module.model, **own})
    contexts = len(family.features(tasks[0]))
    setting = Setting(len(tasks), contexts, family.reward_parts(config), sources, adapting)
    return arm_strategy(study, arm).module(base, setting)


def learner_settings(study: Study, arm: str, *, adapting: bool) -> dict[str, Any]:
    """Return what an arm's learners share besides their module, as JSON values: what a unit's key depends on."""
    strategy = arm_strategy(study, arm)
    shared = _dqn(study, adapting=adapting) if strategy.algorithm == "dqn" else study.ppo
    settings: dict[str, Any] = {"algorithm": strategy.algorithm, "settings": shared.model_dump()}
    if not adapting and strategy.task_gradients == "project":
        settings["task_gradients"] = strategy.task_gradients  # measuring them changes no result
    return settings


def learner_spec(
    study: Study,
    arm: str,
    module: ModuleSpec,
    members: Sequence[MemberSpec],
    phases: tuple[Phase, ...],
    snapshots: tuple[int, ...],
    *,
    adapting: bool,
) -> LearnerSpec:
    """Return a learner with the study's settings of the arm's algorithm."""
    strategy = arm_strategy(study, arm)
    algorithm = strategy.algorithm
    entry = _dqn(study, adapting=adapting).model_dump()
    fade = Fade(entry.pop("epsilon_start"), entry.pop("epsilon_end"), fading=entry.pop("epsilon_steps"))
    return LearnerSpec(
        module,
        tuple(members),
        phases,
        PPOSettings(**study.ppo.model_dump()),
        snapshots,
        algorithm,
        DQNSettings(**entry, epsilon=fade) if algorithm == "dqn" else None,
        "none" if adapting else strategy.task_gradients,
    )


def _dqn(study: Study, *, adapting: bool) -> DQNEntry:
    return study.adapt.dqn if adapting else study.dqn
