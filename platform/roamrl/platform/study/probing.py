"""Probing: every source policy plays a few episodes of the target itself, and the best of them is chosen.

The episodes are the target's own, each played once: their streams come from the target and the repetition as training
streams do, differ from source to source, and are never those of the evaluation. They count: an arm that probes has
played (sources x episodes each) target episodes before it learns its first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.transfer.selection.probe import mean_return
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task
from roamrl.platform.evaluation.seeds import seed_apart
from roamrl.platform.study.pools import Pool
from roamrl.platform.study.results import Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.source_scores import Piece, Play, mean_over
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Probes


def probe_seed(study: Study, task: Task, repetition: int, source: int) -> int:
    """Return the seed of the streams on which source number ``source`` is probed; never the evaluation's."""
    purpose = {"root": study.seed, "probe": repetition, "task": task.id, "source": source}
    return seed_apart(study.evaluation.seed, purpose)


def probe_pieces(study: Study, arm: str, pool: Pool, tasks: Sequence[NamedTask], repetitions: int) -> list[Piece]:
    """Return what an arm has to play on tasks before it can choose, one piece a (unit, task)."""
    pieces, before = [], 0
    episodes = study.arms[arm].probe_episodes
    for unit in pool.units:
        for named in tasks:
            plays = tuple(
                Play(place, number, episodes, probe_seed(study, named.task, number, before + place))
                for number in range(repetitions)
                for place in range(len(unit.members))
            )
            pieces.append(Piece("probe", unit, named, plays))
        before += len(unit.members)
    return pieces


def planned_probes(
    study: Study, arm: str, pool: Pool, val: Sequence[NamedTask], targets: Sequence[NamedTask]
) -> list[Piece]:
    """Return all probes of an arm; none for one that does not probe."""
    if study.arms[arm].choose != "probe":
        return []
    return [
        *probe_pieces(study, arm, pool, val, study.adapt.tune.seeds),
        *probe_pieces(study, arm, pool, targets, study.adapt.seeds),
    ]


def probed_values(rows: Sequence[Result], experts: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean return of each expert's probes, [K], from the rows of one target and repetition.

    Raises:
        InputError: If one was not probed.
    """
    found = {row.source_ids[0]: row.return_mean for row in rows}
    missing = [expert[:10] for expert in experts if expert not in found]
    if missing:
        raise InputError(f"experts {', '.join(missing)} were not probed; run the study again to go on")
    return mean_return([[found[expert]] for expert in experts])


def probes_of(rows: Sequence[Result], worth: Sequence[Result]) -> Probes:
    """Sum up the probes of one target and repetition.

    Args:
        rows: Rows of the probes.
        worth: Rows of the same sources as they are on the target's evaluation streams.
    """
    sources = replace(
        worth[0],
        return_mean=mean_over(worth, "return_mean"),
        score=mean_over(worth, "score"),
        violation_rate=mean_over(worth, "violation_rate"),
    )
    return Probes(
        sum(row.episodes for row in rows), mean_over(rows, "return_mean"), mean_over(rows, "violation_rate"), sources
    )
