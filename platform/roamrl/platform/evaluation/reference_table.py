"""All references of a family side by side on a split: what each is worth, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.family import family_of
from roamrl.envs.task import Task


@dataclass(frozen=True)
class ReferenceScore:
    """What a reference got on some tasks.

    Attributes:
        name: Its name.
        role: ``trivial``, ``classical`` or ``oracle``.
        return_mean: Mean return an episode, over tasks.
        score: Mean over tasks of (J - J_trivial) / (J_oracle - J_trivial), by the first reference of either role; NaN
            where the family has no oracle.
        violation_rate: Mean violation rate, NaN where the family has none.
        cpu_ms: Processor time an episode, ms.
        measures: Means over tasks and episodes of all that the family measures.
    """

    name: str
    role: str
    return_mean: float
    score: float
    violation_rate: float
    cpu_ms: float
    measures: Mapping[str, float]


def reference_table(tasks: Sequence[Task], *, episodes: int, seed: int = 0) -> list[ReferenceScore]:
    """Play every reference on the same episodes.

    Args:
        tasks: Tasks of one config.
        episodes: Episodes a task.
        seed: Seed of the episodes' streams, common to all references.

    Raises:
        InputError: If there is no task, or they are of several families.
    """
    family = family_of(tasks)
    references = family.references(dict(tasks[0].config))
    returns: dict[str, NDArray[np.float64]] = {}
    measures: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    for name, reference in references.items():
        reference.play(family, tasks[:1], episodes=1, seed=seed)  # so that nobody pays for compiling
        begun = time.process_time()
        played = reference.play(family, tasks, episodes=episodes, seed=seed)
        seconds[name] = time.process_time() - begun
        returns[name] = played.returns.mean(axis=1)
        measures[name] = {measure: float(values.mean()) for measure, values in played.measures.items()}
    config = dict(tasks[0].config)
    low = returns[family.reference(config, "trivial").name]
    known = any(reference.role == "oracle" for reference in references.values())
    high = returns[family.reference(config, "oracle").name] if known else np.full_like(low, np.nan)
    return [
        ReferenceScore(
            name,
            reference.role,
            float(returns[name].mean()),
            float(((returns[name] - low) / (high - low)).mean()),
            measures[name].get("violation_rate", float("nan")),
            1e3 * seconds[name] / (len(tasks) * episodes),
            measures[name],
        )
        for name, reference in references.items()
    ]
