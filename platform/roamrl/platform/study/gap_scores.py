"""Scores of the generalisation gap's policies as they are, a Ray task for each (arm, unit, split), resumed by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from roamrl.envs.canonical import content_hash
from roamrl.envs.task import Task
from roamrl.platform.study.carry_out import as_completed
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.gap import GapPolicy
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.study.results import RESULTS, Result, write_rows
from roamrl.platform.study.schema import Study
from roamrl.platform.study.scoring import Job, Played, score_snapshots_remotely
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Unit, arm_task

MOST_TOGETHER = 128
"""Most (policy, task) pairs whose stacked weights are played together."""


@dataclass(frozen=True)
class GapPiece:
    """Policies of one unit on the tasks of one split.

    Attributes:
        study: The study.
        unit: The unit that trained them.
        split: The split.
        pairs: Policies with the tasks they are scored on.
    """

    study: Study
    unit: Unit
    split: str
    pairs: tuple[tuple[GapPolicy, NamedTask], ...]

    @property
    def arm(self) -> str:
        """The policies' arm."""
        return self.pairs[0][0].arm

    @property
    def key(self) -> str:
        """The sha256 of everything that determines the result."""
        pairs = [[policy.key, policy.member, named.task.id] for policy, named in self.pairs]
        settings = self.study.evaluation.model_dump()
        return content_hash(
            {"stage": "gap-score", "arm": self.arm, "unit": self.unit.key, "pairs": pairs, "evaluation": settings}
        )

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"gap {self.arm} on {self.split}"

    @property
    def episodes(self) -> int:
        """Episodes in all."""
        return len(self.pairs) * self.study.evaluation.episodes

    def blocks(self) -> list[tuple[tuple[GapPolicy, NamedTask], ...]]:
        """Return the pairs in blocks that are played together."""
        return [self.pairs[first : first + MOST_TOGETHER] for first in range(0, len(self.pairs), MOST_TOGETHER)]

    def jobs(self) -> list[Job]:
        """Return one job a block: every policy after its last iteration, on its task as it sees it."""
        return [
            Job(
                self.unit.iterations[-1],
                tuple(policy.member for policy, _ in block),
                tuple(self._seen(named.task) for _, named in block),
                self.study.evaluation.episodes,
            )
            for block in self.blocks()
        ]

    def _seen(self, task: Task) -> Task:
        return arm_task(self.study, self.arm, task)


def gap_pieces(
    study: Study, policies: Sequence[GapPolicy], targets: Sequence[NamedTask], left_out: Collection[str] = ()
) -> list[GapPiece]:
    """Return what has to be played: every policy on its contexts from the source split, and on every target.

    Args:
        study: The study.
        policies: The policies.
        targets: The targets.
        left_out: Ids of tasks that tell no policies apart.
    """
    groups: dict[tuple[str, str, str], list[tuple[GapPolicy, NamedTask]]] = {}
    units = {policy.unit.key: policy.unit for policy in policies}
    for policy in policies:
        for named in dict.fromkeys((*policy.trained_on, *targets)):
            if named.task.id not in left_out:
                groups.setdefault((policy.arm, policy.unit.key, named.split), []).append((policy, named))
    return [GapPiece(study, units[unit], split, tuple(pairs)) for (_, unit, split), pairs in groups.items()]


def score_gap(state: RunState, pieces: Sequence[GapPiece]) -> None:
    """Play the pieces that are not finished, and keep the rows of each as a part of the tables."""
    finished = state.folder.finished()
    settings = state.study.evaluation
    waiting: dict[Any, GapPiece] = {}
    for piece in pieces:
        if piece.key in finished:
            continue
        if piece.unit.key not in finished:
            _fail(state, piece, "its policies were not trained")
            continue
        state.progress.unit_started(piece.key, piece.label)
        reference = score_snapshots_remotely.options(name=f"evaluate {piece.label}").remote(
            state.folder.unit(piece.unit.key),
            piece.jobs(),
            seed=settings.seed,
            greedy=settings.greedy,
            traces=state.traces,
        )
        waiting[reference] = piece
    as_completed(
        waiting,
        lambda piece, played: _keep(state, piece, played),
        lambda piece, error: _fail(state, piece, failure_reason(error)),
    )


def _keep(state: RunState, piece: GapPiece, played: Sequence[Played]) -> None:
    rows = [
        _row(state, piece, policy, named, result, place)
        for block, result in zip(piece.blocks(), played, strict=True)
        for place, (policy, named) in enumerate(block)
    ]
    write_rows(state.folder.part(piece.key), rows, RESULTS)
    state.folder.finish(piece.key, {"stage": "gap", "arm": piece.arm, "split": piece.split})
    state.progress.unit_done(piece.key, piece.label, 0, 0.0)


def _row(state: RunState, piece: GapPiece, policy: GapPolicy, named: NamedTask, played: Played, place: int) -> Result:
    study, reference, returns = state.study, state.references[named.task.id], played.returns[place]
    return Result(
        study=study.name,
        unit=piece.key,
        stage="gap",
        arm=policy.arm,
        strategy=study.arms[policy.arm].strategy,
        family=study.family,
        family_config_hash=named.task.config_hash,
        task_id=named.task.id,
        task_name=named.name,
        split=named.split,
        split_hash=named.split_hash,
        tuning="none",
        seed=policy.seed,
        source_ids=(policy.key,),
        env_steps=0,
        pretrain_env_steps=policy.unit.points[-1],
        episodes=0,
        return_mean=float(returns.mean()),
        return_trivial=reference.mean("trivial", len(returns)),
        return_oracle=reference.mean("oracle", len(returns)),
        score=reference.score(returns),
        score_error=reference.score_error(returns),
        violation_rate=float(played.violation_rate[place].mean()),
        violation_adapting=float("nan"),
        eval_episodes=len(returns),
        wall_s=0.0,
        cpu_s=0.0,
        expert_id=None,
        commit=source_commit(),
    )


def _fail(state: RunState, piece: GapPiece, reason: str) -> None:
    state.failures.append(Failure(piece.label, "gap", reason))
    state.progress.unit_failed(piece.key, piece.label, reason)
