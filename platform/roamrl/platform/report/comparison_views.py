"""Which targets a comparison is over: all splits out of distribution together, then each split of targets by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from roamrl.platform.report.arms import SCRATCH, Arm, TargetView
from roamrl.platform.report.run_data import first_seen

IN_DISTRIBUTION: Final = ("train", "val", "iid", "similar")
"""Published splits whose tasks come from the training ranges, and the tutorial's name for tasks like the sources."""


@dataclass(frozen=True)
class Field:
    """What is compared: a view of targets, by a name, of one or several splits."""

    name: str
    splits: tuple[str, ...]
    view: TargetView


def fields(study: Mapping[str, Any], views: Sequence[TargetView], tuning: str) -> list[Field]:
    """Return what is compared under a tuning protocol: the pooled field first, then one a split.

    The pooled one is of all splits out of distribution, or of all splits where there is none; with one split it is that
    split.
    """
    own = [view for view in views if view.tuning == tuning and view.arms]
    outside = [view for view in own if out_of_distribution(study, view.split)]
    pooled = outside or own
    if not pooled:
        return []
    alone = [Field(view.split, (view.split,), view) for view in own]
    if len(own) == 1:
        return alone
    name = "all targets out of distribution" if outside else "all targets"
    return [Field(name, tuple(view.split for view in pooled), together(pooled)), *alone]


def out_of_distribution(study: Mapping[str, Any], split: str) -> bool:
    """Whether a split's tasks were drawn outside the training ranges: by how the study gets it, else by its name."""
    entry = (study.get("splits") or {}).get(split) or {}
    if entry.get("sample") is not None:
        return bool(entry.get("outside"))
    return str(entry.get("published") or split) not in IN_DISTRIBUTION


def together(views: Sequence[TargetView]) -> TargetView:
    """Return several splits' views, of one protocol, as one view of all their targets."""
    if len(views) == 1:
        return views[0]
    names = first_seen(arm.name for view in views for arm in view.arms)
    arms = [_arm(name, views) for name in names]
    return replace(
        views[0],
        split=" + ".join(view.split for view in views),
        arms=tuple(sorted(arms, key=lambda arm: (arm.strategy != SCRATCH, not arm.simple))),
        ceilings={task: score for view in views for task, score in view.ceilings.items()},
        references={
            name: {task: score for view in views for task, score in view.references.get(name, {}).items()}
            for name in first_seen(name for view in views for name in view.references)
        },
        returns={task: pair for view in views for task, pair in view.returns.items()},
        task_names={task: name for view in views for task, name in view.task_names.items()},
        training={name: [curve for view in views for curve in view.training.get(name, ())] for name in names},
    )


def _arm(name: str, views: Sequence[TargetView]) -> Arm:
    found = [arm for view in views for arm in view.arms if arm.name == name]
    return Arm(name, found[0].strategy, tuple(run for arm in found for run in arm.runs))
