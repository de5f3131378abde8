"""What a unit's members become in the expert store: weights, manifest, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.rllib.outcome import read_snapshot
from roamrl.envs.canonical import JSON
from roamrl.envs.family import get_family
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.store.manifest import ManifestFields, SplitScore
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.candidates import variant_settings
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.provenance import package_versions, source_commit
from roamrl.platform.study.rows import Evaluation, Trained
from roamrl.platform.study.schema import Study
from roamrl.platform.study.scoring import Played


def publish_members(
    study: Study,
    store: ExpertStore,
    trained: Trained,
    evaluations: Sequence[Evaluation],
    played: Sequence[Played],
    references: Mapping[str, ReferenceReturns],
) -> list[str]:
    """Publish the last snapshot of every member; publishing the same unit again gives the same ids.

    Args:
        study: The study.
        store: The store.
        trained: The unit.
        evaluations: What was played.
        played: What it gave; evaluations of the last snapshot become scores by split.
        references: Reference returns by task id.

    Returns:
        The experts' ids, by member.
    """
    unit, last = trained.unit, trained.unit.iterations[-1]
    bundles = read_snapshot(trained.folder, last)
    family = get_family(study.family)
    settings = variant_settings(study, unit.arm, unit.candidate) if unit.stage != "pretrain" else None
    strategy = arm_strategy(study, unit.arm, settings)
    normalised = all(reference.normalises for reference in references.values())
    ids = []
    for number, member in enumerate(unit.members):
        spec = trained.learner.members[number]
        tasks = spec.tasks
        fields = ManifestFields(
            family=study.family,
            config=dict(tasks[0].config),
            tasks=tuple(task.to_json() for task in tasks),
            split=member.target.split if member.target else study.arms[unit.arm].sources,
            split_hash=member.target.split_hash if member.target else None,
            context=dict(tasks[0].context) if len(tasks) == 1 else {},
            features=tuple(float(x) for x in np.mean([family.features(task) for task in tasks], axis=0)),
            algorithm=trained.learner.algorithm,
            algorithm_config={
                **asdict(trained.learner.dqn or trained.learner.ppo),
                "lr": spec.lr,
                "entropy_coeff": spec.entropy_coeff,
                "clip": spec.clip,
                "max_grad_norm": spec.max_grad_norm,
                "phases": [asdict(phase) for phase in trained.learner.phases],
            },
            strategy=strategy.name,
            strategy_config=asdict(strategy.config),
            scores=_scores(study, number, last, evaluations, played, references) if normalised else {},
            env_steps=trained.done.env_steps,
            cpu_s=trained.done.cpu_s / len(unit.members),
            parents=trained.sources[number],
            seed=spec.seed,
            versions=package_versions(),
            commit=source_commit(),
            study=study.name,
            notes={
                **{"arm": unit.arm, "stage": unit.stage, "task": member.target.name if member.target else ""},
                **({} if normalised else {"returns": _returns(study, number, last, evaluations, played, references)}),
            },
        )
        ids.append(store.publish(bundles[number], fields))
    return ids


def _scores(
    study: Study,
    number: int,
    last: int,
    evaluations: Sequence[Evaluation],
    played: Sequence[Played],
    references: Mapping[str, ReferenceReturns],
) -> dict[str, SplitScore]:
    by_split: dict[str, list[NDArray[np.float64]]] = {}
    for evaluation, result in zip(evaluations, played, strict=True):
        if evaluation.job.iteration != last or number not in evaluation.job.members:
            continue
        place = evaluation.job.members.index(number)
        named, returns = evaluation.tasks[place], result.returns[place]
        by_split.setdefault(named.split, []).append(references[named.task.id].scores(returns))
    return {split: _interval(tasks, study.evaluation.seed) for split, tasks in by_split.items()}


def _returns(
    study: Study,
    number: int,
    last: int,
    evaluations: Sequence[Evaluation],
    played: Sequence[Played],
    references: Mapping[str, ReferenceReturns],
) -> dict[str, JSON]:
    """Return by split the mean return with its interval: what is kept of an expert whose family has no oracle."""
    found = _scores(study, number, last, evaluations, played, references)
    return {split: {"mean": score.mean, "low": score.low, "high": score.high} for split, score in found.items()}


def _interval(tasks: Sequence[NDArray[np.float64]], seed: int) -> SplitScore:
    """Mean over tasks, with the 95 % interval of a mean over episodes (normal approximation)."""
    episodes = min(len(scores) for scores in tasks)
    scores = np.mean([scores[:episodes] for scores in tasks], axis=0)
    mean = float(scores.mean())
    half = 1.96 * float(scores.std(ddof=1)) / episodes**0.5 if episodes > 1 else 0.0
    return SplitScore(mean=mean, low=mean - half, high=mean + half, seeds=(seed,), episodes=episodes)
