"""What is known of a pool of source policies when one has to be chosen, gathered into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from roamrl.algorithms.transfer.selection.nearest import closeness
from roamrl.algorithms.transfer.selection.predicted import GainPredictor, fit_gain_predictor, left_out_predictions
from roamrl.algorithms.transfer.selection.validation import mean_gain
from roamrl.envs.family import get_family
from roamrl.platform.study.pools import Pool, zero_shot_pieces
from roamrl.platform.study.results import RESULTS, Result
from roamrl.platform.study.source_scores import piece_rows
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Member, Origin

Floats = NDArray[np.float64]
Ranked = Literal["nearest", "best-on-val", "predicted"]
"""Selectors that give every source a value without playing on the target."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a pool; K sources, V tasks of val, contexts of D numbers.

    Attributes:
        policies: The sources.
        experts: Their ids in the store.
        val: Tasks of val on which all of them were scored.
        contexts: Features of the sources' contexts, the mean where one learned on several tasks, [K, D].
        gains: Zero-shot score of each source on each task of val, [K, V].
        worth: Rows of the sources as they are, in their order, by id of the task (val and targets).
        family: Id of the family.
    """

    policies: tuple[tuple[Origin, Member], ...]
    experts: tuple[str, ...]
    val: tuple[NamedTask, ...]
    contexts: Floats
    gains: Floats
    worth: Mapping[str, tuple[Result, ...]]
    family: str

    def context_of(self, named: NamedTask) -> Floats:
        """Return the features of a task's context, [D]."""
        return get_family(self.family).features(named.task)

    def values(self, how: Ranked, named: NamedTask) -> Floats:
        """Return what a selector holds of each source for a task, [K].

        Where the task is one of val (step sizes are chosen there), its own gains are not looked at: they are the
        very scores that the choice is to be judged by, and no target's are ever known beforehand.

        Raises:
            InputError: If val has too few tasks.
        """
        if how == "nearest":
            return closeness(self.contexts, self.context_of(named))
        ids = [known.task.id for known in self.val]
        place = ids.index(named.task.id) if named.task.id in ids else None
        if how == "best-on-val":
            return mean_gain(self.gains, place)
        if place is not None:
            return self.left_out[:, place]
        return self.predictor.predict(self.contexts, self.context_of(named)[None, :])[:, 0]

    @cached_property
    def left_out(self) -> Floats:
        """Gain foretold for each source and task of val by regressions that never saw that task, [K, V]."""
        return left_out_predictions(self.contexts, self._val_contexts, self.gains)

    @cached_property
    def predictor(self) -> GainPredictor:
        """The regression on all of val."""
        return fit_gain_predictor(self.contexts, self._val_contexts, self.gains)

    @property
    def _val_contexts(self) -> Floats:
        return np.array([self.context_of(named) for named in self.val])


def gather(state: RunState, pool: Pool) -> Evidence:
    """Gather what a run knows of a pool whose policies are all trained."""
    finished = state.folder.finished()
    experts = tuple(str(finished[origin.unit]["experts"][origin.member]) for origin, _ in pool.policies)
    rows = [*_val_rows(state, pool), *_target_rows(state, pool)]
    by_task: dict[str, dict[str, Result]] = {}
    for expert, row in rows:
        by_task.setdefault(row.task_id, {})[expert] = row
    worth = {
        task: tuple(known[expert] for expert in experts)
        for task, known in by_task.items()
        if all(expert in known for expert in experts)
    }
    val = tuple(named for named in state.val if named.task.id in worth)
    family = get_family(state.study.family)
    contexts = [np.mean([family.features(task) for task in m.base.tasks], axis=0) for _, m in pool.policies]
    gains = np.array([[row.score for row in worth[named.task.id]] for named in val]).reshape(len(val), len(experts)).T
    return Evidence(tuple(pool.policies), experts, val, np.array(contexts), gains, worth, state.study.family)


def missing_units(pool: Pool, finished: Mapping[str, Any]) -> list[str]:
    """Return the units of a pool that were not trained, by their short keys."""
    return sorted(unit.key[:8] for unit in pool.units if unit.key not in finished)


def _val_rows(state: RunState, pool: Pool) -> list[tuple[str, Result]]:
    """Return the scores on val, which every policy got at the end of its pretraining."""
    found = []
    for unit in pool.units:
        for record in pq.read_table(state.folder.part(unit.key), schema=RESULTS).to_pylist():
            row = Result(**record)
            if row.split == state.study.val and row.expert_id is not None:
                found.append((row.expert_id, row))
    return found


def _target_rows(state: RunState, pool: Pool) -> list[tuple[str, Result]]:
    pieces = zero_shot_pieces(state.study, [pool], state.targets)
    return [(row.source_ids[0], row) for piece in pieces for row in piece_rows(state, piece)]


def tasks_to_meet(state: RunState) -> Sequence[tuple[Literal["tune", "adapt"], NamedTask, int]]:
    """Return every task that a source is chosen for: its stage, the task, and its repetitions."""
    adapt = state.study.adapt
    return [
        *(("tune", named, adapt.tune.seeds) for named in state.val),
        *(("adapt", named, adapt.seeds) for named in state.targets),
    ]
