"""Scores of a trial's members on ``val``: the same evaluation that results are made by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.study.schema import EvaluationEntry, Study
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.sweep.trial import Trial, task_seen


def member_scores(
    study: Study, trial: Trial, bundles: Sequence[PolicyBundle], references: Mapping[str, ReferenceReturns]
) -> NDArray[np.float64]:
    """Return each member's mean score over its tasks of ``val``, [P]; NaN where none tells policies apart.

    Args:
        study: The study.
        trial: The trial.
        bundles: Its members as policies.
        references: What the references got, by task id; tasks without are left out.
    """
    found: list[list[float]] = [[] for _ in bundles]
    tasks = dict.fromkeys(named for scored_on in trial.scored_on for named in scored_on)
    for batch in _batches(trial, [named for named in tasks if named.task.id in references]):
        members = [member for member, _ in batch]
        returns = _returns(study, [bundles[member] for member in members], [named for _, named in batch])
        for (member, named), own in zip(batch, returns, strict=True):
            found[member].append(references[named.task.id].score(own))
    return np.array([np.mean(scores) if scores else np.nan for scores in found])


def candidate_scores(trial: Trial, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean score of the members that have each candidate's settings, [C]."""
    of_member = np.array(trial.of_member)
    return np.array([scores[of_member == candidate].mean() for candidate in range(len(trial.candidates))])


def _batches(trial: Trial, tasks: Sequence[NamedTask]) -> list[list[tuple[int, NamedTask]]]:
    """Return who plays what at once: every member one of its tasks."""
    own = [[named for named in tasks if named in scored_on] for scored_on in trial.scored_on]
    rounds = max((len(named) for named in own), default=0)
    return [
        [(member, named[place]) for member, named in enumerate(own) if place < len(named)] for place in range(rounds)
    ]


def _returns(study: Study, bundles: Sequence[PolicyBundle], tasks: Sequence[NamedTask]) -> NDArray[np.float64]:
    settings: EvaluationEntry = study.evaluation
    played = evaluate_bundles(
        bundles,
        [task_seen(study, named).task for named in tasks],
        episodes=settings.episodes,
        seed=settings.seed,
        greedy=bool(settings.greedy),
    )
    return played.returns
