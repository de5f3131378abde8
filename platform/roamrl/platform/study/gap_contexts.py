"""Training contexts without end: a source split, and fresh draws from the ranges that it was drawn from."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.envs.errors import InputError
from roamrl.platform.study.schema import SplitEntry, Study
from roamrl.platform.study.tasks import NamedTask, study_splits


def endless_contexts(study: Study, source: str, listed: Sequence[NamedTask], size: int) -> list[NamedTask]:
    """Return a pool that stands for unlimited contexts: the split's own tasks first, then fresh ones.

    A sampled split goes on where its own drawing stopped, with what it fixes; beside a published or a listed one tasks
    are drawn from the family's training ranges. Contexts drawn twice are in the pool twice.

    Args:
        study: The study.
        source: Name of the source split.
        listed: Its tasks.
        size: Tasks of the pool.

    Raises:
        InputError: If the split is of another variant than the study's config, whose ranges are not known here, or
            holds as many tasks as the pool.
    """
    entry = study.splits[source]
    if len(listed) >= size:
        raise InputError(f"gap.pool is {size}, and split {source!r} alone has {len(listed)} tasks; raise gap.pool")
    if entry.variant is not None:
        raise InputError(
            f"gap.contexts: 'unlimited' cannot be drawn for split {source!r}, which is of variant {entry.variant!r}; "
            "give the study that variant as its config, or leave 'unlimited' out"
        )
    if entry.sample is not None:
        return list(_drawn(study, source, entry.model_copy(update={"sample": size})))
    return [*listed, *_drawn(study, source, SplitEntry(sample=size - len(listed), seed=study.seed))]


def _drawn(study: Study, source: str, entry: SplitEntry) -> Sequence[NamedTask]:
    return study_splits(study.model_copy(update={"splits": {**study.splits, source: entry}}))[source]
