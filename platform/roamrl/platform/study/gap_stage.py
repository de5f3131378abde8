"""The stage of the generalisation gap: train what nothing else trains, score all policies, say which is which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roamrl.algorithms.rllib.outcome import LearnerDone, read_done
from roamrl.platform.study.gap import GapPolicy, learner_of, study_gap
from roamrl.platform.study.gap_scores import gap_pieces, score_gap
from roamrl.platform.study.learn import Assignment, learn
from roamrl.platform.study.results import RESULTS, write_rows
from roamrl.platform.study.state import RunState
from roamrl.platform.study.units import Unit

RECORD = "gap.json"
"""File of the run that tells policies apart; rows of stage ``gap`` name a policy's key as their source."""


def generalisation_gap(state: RunState) -> None:
    """Carry out a study's ``gap``; its policies serve no target and are not published."""
    if state.study.gap is None:
        return
    state.progress.stage("gap")
    gap = study_gap(state.study, state.splits, state.targets)
    _train(state, gap.units)
    known = {named.task.id for policy in gap.policies for named in policy.trained_on}
    score_gap(state, gap_pieces(state.study, gap.policies, state.targets, known - state.references.keys()))
    state.folder.write_json(RECORD, {"policies": [_described(policy) for policy in gap.policies]})


def gap_assignments(state: RunState) -> list[Assignment]:
    """Return the units of a study's ``gap`` that are not ticked off; none for a study without."""
    return _assignments(state, study_gap(state.study, state.splits, state.targets).units)


def _assignments(state: RunState, units: Sequence[Unit]) -> list[Assignment]:
    finished = state.folder.finished()
    return [Assignment(unit, learner_of(state.study, unit)) for unit in units if unit.key not in finished]


def _train(state: RunState, units: Sequence[Unit]) -> None:
    """Tick off what was trained beside pretraining, after another attempt at what was not."""
    assignments = _assignments(state, units)
    state.failures += learn(state.folder, "gap", assignments, state.study.execution, state.progress)
    for assignment in assignments:
        done = read_done(state.folder.unit(assignment.unit.key))
        if done is not None:
            _tick_off(state, assignment.unit, done)


def _tick_off(state: RunState, unit: Unit, done: LearnerDone) -> None:
    """Write down what the unit took; it has no rows of its own, those of its policies' scores follow."""
    write_rows(state.folder.part(unit.key), [], RESULTS)
    spent = {"env_steps": done.env_steps, "windows": unit.steps, "wall_s": done.wall_s, "cpu_s": done.cpu_s}
    found = {"skipped": list(done.skipped), "peak_memory_mb": done.peak_memory_mb}
    state.folder.finish(unit.key, {"stage": "gap", "arm": unit.arm, **spent, **found})
    state.progress.unit_done(unit.key, unit.label, unit.steps, done.wall_s)


def _described(policy: GapPolicy) -> dict[str, Any]:
    return {
        "key": policy.key,
        "arm": policy.arm,
        "contexts": policy.contexts,
        "unlimited": policy.unlimited,
        "seed": policy.seed,
        "steps": policy.unit.points[-1],
        "sources": policy.trained_on[0].split,
    }
