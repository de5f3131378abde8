"""The best trial's policies in the expert store, with the scores that they were chosen by."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from roamrl.algorithms.rllib.outcome import read_done, read_snapshot
from roamrl.envs.family import get_family
from roamrl.platform.store.manifest import ManifestFields, SplitScore
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.provenance import package_versions, source_commit
from roamrl.platform.study.schema import Study
from roamrl.platform.sweep.algorithm import read_reports
from roamrl.platform.sweep.folder import SweepFolder
from roamrl.platform.sweep.results import Candidate
from roamrl.platform.sweep.trial import build_trial, search_of, trial_study


def publish_best(folder: SweepFolder, study: Study, best: Candidate, store: str) -> tuple[str, ...]:
    """Publish the best candidate's members as they were at the end, and return their ids.

    Raises:
        InputError: If the store cannot be used.
    """
    search = search_of(study)
    settings = {} if search.members else best.settings
    place = folder.trial(settings)
    trial = build_trial(study, settings, folder.tasks())
    own, family = trial_study(study, settings), get_family(study.family)
    done, last = read_done(place), read_reports(place)[-1]
    assert done is not None  # only a trial that trained to its end is best
    bundles = read_snapshot(place, trial.reports[-1])
    strategy = arm_strategy(own, search.arm)
    normalised = all(found.normalises for found in folder.references().values())
    target = ExpertStore.init(store, spooling=True)
    wanted = best.number if search.members else 0
    ids = []
    for number in [member for member, candidate in enumerate(trial.of_member) if candidate == wanted]:
        spec, score = trial.learner.members[number], last.member_scores[number]
        tasks, named = spec.tasks, trial.scored_on[number]
        one = named[0] if len(tasks) == 1 and len(named) == 1 else None
        algorithm = asdict(trial.learner.dqn or trial.learner.ppo)
        learned_with = {name: column[number] for name, column in last.values.items()}
        scored = SplitScore(
            mean=score, low=score, high=score, seeds=(study.evaluation.seed,), episodes=study.evaluation.episodes
        )
        fields = ManifestFields(
            family=study.family,
            config=dict(tasks[0].config),
            tasks=tuple(task.to_json() for task in tasks),
            split=one.split if one else study.arms[search.arm].sources,
            split_hash=one.split_hash if one else None,
            context=dict(tasks[0].context) if len(tasks) == 1 else {},
            features=tuple(float(x) for x in np.mean([family.features(task) for task in tasks], axis=0)),
            algorithm=trial.learner.algorithm,
            algorithm_config={
                **algorithm,
                **learned_with,
                "phases": [asdict(phase) for phase in trial.learner.phases],
            },
            strategy=strategy.name,
            strategy_config=asdict(strategy.config),
            scores={study.val: scored} if normalised and np.isfinite(score) else {},
            env_steps=done.env_steps,
            cpu_s=done.cpu_s / len(trial.learner.members),
            parents=(),
            seed=spec.seed,
            versions=package_versions(),
            commit=source_commit(),
            study=study.name,
            notes={"arm": search.arm, "stage": "sweep", "task": one.name if one else "", "chosen_on": study.val},
        )
        ids.append(target.publish(bundles[number], fields))
    return tuple(ids)
