"""Which fields of a study a search may vary, and a study with other values in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError, unknown_name
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.learning_entries import PretrainEntry
from roamrl.platform.study.load import check_entry, check_study
from roamrl.platform.study.schema import Study

_MEASURED = "it is what scores are measured on, which must be the same for all trials"
_BUDGET = "search.budget says how much a trial takes, so that trials compare at equal environment steps"
_NOT_PRETRAINING = "a sweep trains an arm's pretraining, which does not depend on it"

_FIXED: Mapping[str, str] = {
    "family": _MEASURED,
    "config": _MEASURED,
    "traces": _MEASURED,
    "splits": _MEASURED,
    "targets": _MEASURED,
    "val": _MEASURED,
    "evaluation": _MEASURED,
    "metrics": _NOT_PRETRAINING,
    "adapt": _NOT_PRETRAINING,
    "tuned_classical": _NOT_PRETRAINING,
    "gap": _NOT_PRETRAINING,
    "zero_shot_matrix": _NOT_PRETRAINING,
    "name": "it is no setting of learning",
    "about": "it is no setting of learning",
    "execution": "it changes no result",
    "seed": "a seed is no setting; pretrain.seeds says over how many a score is taken",
    "search": "a search does not search itself",
}

_MEMBERS: Mapping[str, str] = {name: name for name in ("lr", "clip", "entropy_coeff", "max_grad_norm")}


def check_path(study: Study, arm: str, path: str) -> None:
    """Check that a field may vary in a search over an arm's pretraining.

    Raises:
        InputError: If it is no field of a study, must be the same for all trials, or changes nothing in pretraining.
    """
    root, *rest = path.split(".")
    if root not in Study.model_fields:
        raise unknown_name("field to search", path, Study.model_fields)
    reason = _FIXED.get(root) or (_of_arm(study, arm, rest) if root == "arms" else _of_learning(study, arm, root, rest))
    if reason:
        raise InputError(f"search.space cannot vary {path!r}: {reason}")


def _of_arm(study: Study, arm: str, rest: list[str]) -> str | None:
    if len(rest) < 3 or rest[0] != arm or rest[1] not in ("settings", "pretrain"):
        return f"of arms it varies 'arms.{arm}.settings.NAME' and 'arms.{arm}.pretrain.NAME', the arm being searched"
    if rest[1] == "pretrain" and rest[2] not in PretrainEntry.model_fields:
        raise unknown_name("setting of pretraining", rest[2], PretrainEntry.model_fields)
    return _BUDGET if rest[1] == "pretrain" and rest[2] in ("steps", "seeds") else None


def _of_learning(study: Study, arm: str, root: str, rest: list[str]) -> str | None:
    """Return why a field of ``pretrain``, ``ppo``, ``dqn`` or ``module`` may not vary, None if it may."""
    if not rest:
        return f"it is a group of settings; name one, as in '{root}.NAME'"
    if root == "pretrain":
        if rest[0] in ("steps", "seeds"):
            return _BUDGET
        if rest[0] in study.arms[arm].pretrain:
            return f"arm {arm!r} has its own, 'arms.{arm}.pretrain.{rest[0]}'; search that"
    algorithm = arm_strategy(study, arm).algorithm
    if root in ("ppo", "dqn") and root != algorithm:
        return f"arm {arm!r} learns by {algorithm}"
    return "it changes no result" if [root, *rest] == ["ppo", "compiled"] else None


def member_path(study: Study, arm: str, setting: str) -> str:
    """Return the field that holds what all members of an arm have: its own pretraining, or the loss's discount."""
    if setting in _MEMBERS:
        return f"arms.{arm}.pretrain.{setting}"
    return f"{arm_strategy(study, arm).algorithm}.{setting}"


def value_at(study: Study, path: str) -> JSON:
    """Return what a study says at a path, None for nothing; an arm's pretraining falls back on the study's."""
    place: Any = study.model_dump(mode="json")
    parts = path.split(".")
    for part in parts:
        if not isinstance(place, Mapping) or part not in place:
            own = parts[0] == "arms" and parts[2] == "pretrain"
            return value_at(study, f"pretrain.{parts[3]}") if own else None
        place = place[part]
    return place


def with_values(study: Study, values: Mapping[str, JSON]) -> Study:
    """Return the study with other values, by dotted path, and without its search.

    Raises:
        InputError: If a value may not stand where it is put.
    """
    raw = study.model_dump(mode="json", exclude={"search"})
    for path, value in values.items():
        *parents, last = path.split(".")
        place = raw
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise InputError(f"search.space {path!r}: {parent!r} is a value, not a group of settings")
        place[last] = value
    said = ", ".join(f"{path}={value}" for path, value in values.items())
    own = check_study(raw, f"search ({said})")
    for arm, entry in own.arms.items():
        check_entry(PretrainEntry, {**own.pretrain.model_dump(), **entry.pretrain}, f"search ({said}), arm {arm!r}")
    return own
