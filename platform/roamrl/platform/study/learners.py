"""From what a study and an arm say to a learner: its module, its algorithm, its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.strategy import Strategy, make_strategy
from roamrl.algorithms.teaching import Fade
from roamrl.envs.canonical import JSON
from roamrl.envs.family import get_family
from roamrl.platform.study.schema import DQNEntry, Study


def arm_strategy(study: Study, arm: str, settings: Mapping[str, Any] | None = None) -> Strategy[Any]:
    """Return an arm's strategy, made with its settings and those that take their place."""
    entry = study.arms[arm]
    return make_strategy(entry.strategy, {**entry.settings, **(settings or {})})


def module_spec(study: Study, arm: str, config: Mapping[str, JSON], *, adapting: bool, sources: int) -> ModuleSpec:
    """Return the module of an arm's learners.

    Args:
        study: The study.
        arm: The arm.
        config: Full family config of its tasks.
        adapting: Whether it meets targets (an arm's own ``module`` is for that alone).
        sources: Policies a member draws on; 0 while pretraining.

    Raises:
        InputError: If the arm's strategy cannot work with the family's actions or reward.
    """
    family = get_family(study.family)
    observation, action = family.spaces(config)
    own = study.arms[arm].module if adapting else {}
    base = ModuleSpec(study.module.kind, observation, action, {**study.module.model, **own})
    return arm_strategy(study, arm).module(base, family.reward_parts(config), sources)


def learner_settings(study: Study, arm: str, *, adapting: bool) -> dict[str, Any]:
    """Return what an arm's learners share besides their module, as JSON values: what a unit's key depends on."""
    algorithm = arm_strategy(study, arm).algorithm
    shared = _dqn(study, adapting=adapting) if algorithm == "dqn" else study.ppo
    return {"algorithm": algorithm, "settings": shared.model_dump()}


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
    algorithm = arm_strategy(study, arm).algorithm
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
    )


def _dqn(study: Study, *, adapting: bool) -> DQNEntry:
    return study.adapt.dqn if adapting else study.dqn
