"""The stage in which every arm that chooses among sources does so: after pretraining, before any task is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from roamrl.algorithms.transfer.selection.chance import draw
from roamrl.algorithms.transfer.selection.choice import highest, in_turn
from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task
from roamrl.platform.study.decision import Decision
from roamrl.platform.study.evidence import Evidence, gather, missing_units, tasks_to_meet
from roamrl.platform.study.folder import Failure
from roamrl.platform.study.pools import Pool, source_pools
from roamrl.platform.study.probing import planned_probes, probed_values, probes_of
from roamrl.platform.study.results import Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.selection_record import PoolRecord, choice_record, pool_record
from roamrl.platform.study.source_scores import Piece, piece_rows, play_pieces
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Chosen, chooses


def select_sources(state: RunState) -> None:
    """Choose a source for every (arm, task, repetition), and write ``selection.json``.

    What is chosen follows from the parts of finished units alone, so a resumed run chooses the same.
    """
    study = state.study
    pools = source_pools(study, state.splits, state.targets)
    if not pools:
        return
    state.progress.stage("select")
    play_pieces(state, [piece for pool in pools for arm in pool.arms for piece in _probes(state, arm, pool)])
    records: list[PoolRecord] = []
    choices: list[dict[str, object]] = []
    for pool in pools:
        missing = missing_units(pool, state.folder.finished())
        if missing:
            _not_chosen(state, pool.arms, f"source policies were not trained (units {', '.join(missing)})")
            continue
        evidence = gather(state, pool)
        decided = {arm: found for arm in pool.arms if (found := _decided(state, arm, pool, evidence)) is not None}
        for arm, decisions in decided.items():
            state.chosen[arm] = {
                (made.named.task.id, made.repetition): Chosen(evidence.policies[made.place][0], made.probes)
                for made in decisions
            }
            choices += [choice_record(study, evidence, made) for made in decisions]
        records.append(pool_record(study, pool, evidence, state.targets, decided))
    state.folder.write_json("selection.json", {"pools": records, "choices": choices})


def random_seed(study: Study, task: Task, repetition: int) -> int:
    """Return the seed of a random draw: the same for all arms, so that they are compared in pairs."""
    digest = content_hash({"root": study.seed, "random source": repetition, "task": task.id})
    return int(digest[:7], 16)


def _decided(state: RunState, arm: str, pool: Pool, evidence: Evidence) -> list[Decision] | None:
    """Return an arm's choices; None for an arm that does not choose, or cannot, which is a failure then."""
    if not chooses(state.study, arm):
        return None
    probes = _probe_rows(state, _probes(state, arm, pool))
    try:
        return [
            _decide(state.study, arm, evidence, stage, named, repetition, probes)
            for stage, named, repetitions in tasks_to_meet(state)
            for repetition in range(repetitions)
        ]
    except InputError as error:
        _not_chosen(state, [arm], str(error))
        return None


def _decide(
    study: Study,
    arm: str,
    evidence: Evidence,
    stage: Literal["tune", "adapt"],
    named: NamedTask,
    repetition: int,
    probes: Mapping[tuple[str, int], Sequence[Result]],
) -> Decision:
    how = study.arms[arm].choose
    assert how != "rotate" and how != "all"  # arms that do not choose do not come here
    everyone = tuple(range(len(evidence.experts)))
    if how == "random":
        place = draw(len(everyone), random_seed(study, named.task, repetition))
        return Decision(arm, stage, named, repetition, place, everyone, None, "drawn at random")
    if how == "probe":
        rows = probes.get((named.task.id, repetition), ())
        values = probed_values(rows, evidence.experts)
        alike = highest(values)
        spent = probes_of(rows, _worth(evidence, named))
        because = "highest mean return in its probes"
        return Decision(arm, stage, named, repetition, in_turn(alike, repetition), alike, values, because, spent)
    values = evidence.values(how, named)
    alike = highest(values)
    learned_on = "the other tasks of val" if stage == "tune" else "val"
    because = _REASONS[how].format(val=learned_on)
    return Decision(arm, stage, named, repetition, in_turn(alike, repetition), alike, values, because)


_REASONS = {
    "nearest": "nearest context",
    "best-on-val": "highest mean score on {val}",
    "predicted": "highest gain foretold from {val}",
}


def _worth(evidence: Evidence, named: NamedTask) -> Sequence[Result]:
    found = evidence.worth.get(named.task.id)
    if found is None:
        raise InputError(f"not every source was scored on {named.name!r}; run the study again to go on")
    return found


def _probes(state: RunState, arm: str, pool: Pool) -> list[Piece]:
    return planned_probes(state.study, arm, pool, state.val, state.targets)


def _probe_rows(state: RunState, pieces: Sequence[Piece]) -> dict[tuple[str, int], list[Result]]:
    """Return the rows of probes by (task id, repetition)."""
    found: dict[tuple[str, int], list[Result]] = {}
    for piece in pieces:
        for row in piece_rows(state, piece):
            found.setdefault((row.task_id, row.seed), []).append(row)
    return found


def _not_chosen(state: RunState, arms: Sequence[str], reason: str) -> None:
    for arm in arms:
        if chooses(state.study, arm):
            state.failures.append(Failure(f"choose {arm}", "select", reason))
            state.progress.unit_failed(f"choose-{arm}", f"choose {arm}", reason)
