"""Candidates: the step sizes and strategy settings among which an arm chooses on ``val``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roamrl.envs.canonical import JSON
from roamrl.platform.study.schema import Study


@dataclass(frozen=True)
class Candidate:
    """One way for an arm to adapt.

    Attributes:
        lr: Adam's step size.
        variant: Which of the arm's variants of its strategy's settings, in the order of the study file.
    """

    lr: float
    variant: int = 0


def candidates(study: Study, arm: str) -> tuple[Candidate, ...]:
    """Return every candidate of an arm: all step sizes with all variants."""
    entry = study.arms[arm]
    step_sizes = entry.lr or study.adapt.tune.lr
    return tuple(Candidate(lr, variant) for variant in range(len(entry.variants) or 1) for lr in step_sizes)


def variant_settings(study: Study, arm: str, candidate: Candidate) -> dict[str, Any]:
    """Return the strategy settings that a candidate has beside the arm's own."""
    variants = study.arms[arm].variants
    return dict(variants[candidate.variant]) if variants else {}


def candidate_json(study: Study, arm: str, candidate: Candidate) -> dict[str, JSON]:
    """Return a candidate as a study file would say it."""
    settings = {**study.arms[arm].settings, **variant_settings(study, arm, candidate)}
    return {"lr": candidate.lr, "settings": settings}
