"""``selection.json``: what every selector would choose, how well gains are foretold, and what the arms chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict, get_args

import numpy as np

from roamrl.algorithms.transfer.selection.choice import highest
from roamrl.algorithms.transfer.selection.predicted import LEAST_TASKS
from roamrl.algorithms.transfer.selection.regret import explained_share, rank_correlation, regret
from roamrl.envs.errors import InputError
from roamrl.platform.study.decision import Decision
from roamrl.platform.study.evidence import Evidence, Floats, Ranked
from roamrl.platform.study.pools import Pool
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import probe_episodes


class SourceRecord(TypedDict):
    """A source policy: its expert, the task it learned on (its arm where there are several), its repetition."""

    expert: str
    name: str
    seed: int


class SelectorRecord(TypedDict):
    """What a selector chooses by task id of the targets, as places among the sources, all counted alike.

    ``episodes`` are the target episodes that a choice takes; ``arm`` is the arm that probed, empty for others.
    """

    how: str
    arm: str
    episodes: int
    chosen: dict[str, list[int]]


class ValidationRecord(TypedDict):
    """How well gains are foretold for tasks of val that were left out whole; None where it is not defined.

    ``explained`` is R^2, ``ranks`` the mean rank correlation over the sources of a task, ``regret`` the mean regret by
    selector, ``gains`` and ``foretold`` are [sources, tasks].
    """

    tasks: list[str]
    penalty: float
    explained: float | None
    ranks: float | None
    regret: dict[str, float]
    gains: list[list[float]]
    foretold: list[list[float]]


class PoolRecord(TypedDict):
    """A pool: the arms that draw on it, its sources, what selectors choose, how well gains are foretold."""

    arms: list[str]
    sources: list[SourceRecord]
    selectors: list[SelectorRecord]
    validation: ValidationRecord | None


def pool_record(
    study: Study,
    pool: Pool,
    evidence: Evidence,
    targets: Sequence[NamedTask],
    decided: Mapping[str, Sequence[Decision]],
) -> PoolRecord:
    """Describe a pool: every selector that needs no episodes, and every arm that probed."""
    sources: list[SourceRecord] = [
        {"expert": expert, "name": member.target.name if member.target else pool.arms[0], "seed": member.seed}
        for expert, (_, member) in zip(evidence.experts, evidence.policies, strict=True)
    ]
    everyone = list(range(len(sources)))
    selectors: list[SelectorRecord] = [
        {"how": "random", "arm": "", "episodes": 0, "chosen": {named.task.id: everyone for named in targets}}
    ]
    for how in get_args(Ranked):
        try:
            chosen = {named.task.id: list(highest(evidence.values(how, named))) for named in targets}
        except InputError:
            continue  # val has too few tasks for it, and no arm asks for it
        selectors.append({"how": how, "arm": "", "episodes": 0, "chosen": chosen})
    for arm, decisions in decided.items():
        if study.arms[arm].choose == "probe":
            places: dict[str, list[int]] = {named.task.id: [] for named in targets}
            for made in decisions:
                if made.stage == "adapt":
                    places[made.named.task.id].append(made.place)
            spent = probe_episodes(study, arm, len(sources))
            selectors.append({"how": "probe", "arm": arm, "episodes": spent, "chosen": places})
    return {
        "arms": list(pool.arms),
        "sources": sources,
        "selectors": selectors,
        "validation": _validation(evidence) if len(evidence.val) >= LEAST_TASKS else None,
    }


def choice_record(study: Study, evidence: Evidence, made: Decision) -> dict[str, object]:
    """Describe a choice: what was chosen, why, and what the selector held of every source."""
    return {
        "arm": made.arm,
        "choose": study.arms[made.arm].choose,
        "stage": made.stage,
        "split": made.named.split,
        "task": made.named.name,
        "task_id": made.named.task.id,
        "seed": made.repetition,
        "expert": evidence.experts[made.place],
        "because": made.because,
        "alike": len(made.alike),
        "target_episodes": made.probes.episodes if made.probes else 0,
        "values": None if made.values is None else dict(zip(evidence.experts, made.values.tolist(), strict=True)),
    }


def _validation(evidence: Evidence) -> ValidationRecord:
    foretold = evidence.left_out
    return {
        "tasks": [named.name for named in evidence.val],
        "penalty": evidence.predictor.penalty,
        "explained": _known(explained_share(evidence.gains, foretold)),
        "ranks": _known(rank_correlation(evidence.gains, foretold)),
        "regret": {
            "random": _mean_regret(evidence.gains, np.zeros_like(foretold)),
            **{how: _mean_regret(evidence.gains, _by_task(evidence, how)) for how in get_args(Ranked)},
        },
        "gains": evidence.gains.tolist(),
        "foretold": foretold.tolist(),
    }


def _by_task(evidence: Evidence, how: Ranked) -> Floats:
    return np.stack([evidence.values(how, named) for named in evidence.val], axis=1)


def _mean_regret(gains: Floats, values: Floats) -> float:
    """Return the mean over tasks of the regret [K, V] of what has the highest value; equal values are a draw."""
    return float(np.mean([regret(known, highest(held)) for known, held in zip(gains.T, values.T, strict=True)]))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
