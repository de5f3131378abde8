"""Source policies played on tasks as they are, a Ray task for each (unit, task); every such piece is resumed by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from roamrl.envs.canonical import content_hash
from roamrl.envs.family import get_family
from roamrl.platform.study.carry_out import as_completed
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.study.results import RESULTS, Result, write_rows
from roamrl.platform.study.scoring import Job, Played, score_snapshots_remotely
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Unit, arm_task


@dataclass(frozen=True)
class Play:
    """One source policy on streams of one seed.

    Attributes:
        member: The policy's place in its unit.
        repetition: Repetition on the target that it is played for; 0 where all share it.
        episodes: Episodes.
        seed: Seed of the streams; None for the evaluation's.
    """

    member: int
    repetition: int
    episodes: int
    seed: int | None


@dataclass(frozen=True)
class Piece:
    """Source policies of one unit on one task.

    Attributes:
        stage: ``zero-shot`` (evaluation) or ``probe`` (episodes of the target itself).
        unit: The unit that trained the policies.
        named: The task.
        plays: What is played.
    """

    stage: Literal["zero-shot", "probe"]
    unit: Unit
    named: NamedTask
    plays: tuple[Play, ...]

    @property
    def key(self) -> str:
        """The sha256 of everything that determines the result."""
        plays = [asdict(play) for play in self.plays]
        return content_hash({"stage": self.stage, "unit": self.unit.key, "task": self.named.task.id, "plays": plays})

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{self.stage} {self.unit.arm} on {self.named.name}"


def play_pieces(state: RunState, pieces: Sequence[Piece]) -> None:
    """Play the pieces that are not finished, and keep the rows of each as a part of the tables."""
    finished = state.folder.finished()
    waiting: dict[Any, Piece] = {}
    settings = state.study.evaluation
    for piece in {piece.key: piece for piece in pieces}.values():
        if piece.key in finished or piece.unit.key not in finished:
            continue
        state.progress.unit_started(piece.key, piece.label)
        reference = score_snapshots_remotely.options(name=f"evaluate {piece.stage} {piece.unit.arm}").remote(
            state.folder.unit(piece.unit.key),
            [job for job, _ in _jobs(state, piece)],
            seed=settings.seed,
            greedy=settings.greedy,
            traces=state.traces,
        )
        waiting[reference] = piece
    as_completed(
        waiting,
        lambda piece, played: _keep(state, piece, played, finished[piece.unit.key]),
        lambda piece, error: _failed(state, piece, error),
    )


def piece_rows(state: RunState, piece: Piece) -> list[Result]:
    """Return the rows of a piece, none if it is not finished."""
    if piece.key not in state.folder.finished():
        return []
    return [Result(**row) for row in pq.read_table(state.folder.part(piece.key), schema=RESULTS).to_pylist()]


def _jobs(state: RunState, piece: Piece) -> list[tuple[Job, tuple[Play, ...]]]:
    """Return one job for all plays on the same streams."""
    groups: dict[tuple[int | None, int], list[Play]] = {}
    for play in piece.plays:
        groups.setdefault((play.seed, play.episodes), []).append(play)
    seen, last = arm_task(state.study, piece.unit.arm, piece.named.task), piece.unit.iterations[-1]
    return [
        (Job(last, tuple(play.member for play in plays), (seen,) * len(plays), episodes, seed), tuple(plays))
        for (seed, episodes), plays in groups.items()
    ]


def _keep(state: RunState, piece: Piece, played: Sequence[Played], trained: Mapping[str, Any]) -> None:
    rows = [
        _row(state, piece, play, result, place, trained)
        for (_, plays), result in zip(_jobs(state, piece), played, strict=True)
        for place, play in enumerate(plays)
    ]
    write_rows(state.folder.part(piece.key), rows, RESULTS)
    state.folder.finish(piece.key, {"stage": piece.stage, "arm": piece.unit.arm, "task": piece.named.name})
    state.progress.unit_done(piece.key, piece.label, 0, 0.0)


def _row(state: RunState, piece: Piece, play: Play, played: Played, place: int, trained: Mapping[str, Any]) -> Result:
    study, named = state.study, piece.named
    reference, returns = state.references[named.task.id], played.returns[place]
    probing = piece.stage == "probe"
    # The references were not played on the streams of probes: there the means over all their episodes have to serve.
    compared = study.evaluation.final_episodes if probing else len(returns)
    trivial, oracle = reference.mean("trivial", compared), reference.mean("oracle", compared)
    steps = get_family(study.family).typical_episode_steps(dict(named.task.config))
    rate = float(played.violation_rate[place].mean())
    return Result(
        study=study.name,
        unit=piece.key,
        stage=piece.stage,
        arm=piece.unit.arm,
        strategy=study.arms[piece.unit.arm].strategy,
        family=study.family,
        family_config_hash=named.task.config_hash,
        task_id=named.task.id,
        task_name=named.name,
        split=named.split,
        split_hash=named.split_hash,
        tuning="none",
        seed=play.repetition,
        source_ids=(str(trained["experts"][play.member]),),
        env_steps=len(returns) * steps if probing else 0,
        pretrain_env_steps=int(trained["env_steps"]),
        episodes=len(returns) if probing else 0,
        return_mean=float(returns.mean()),
        return_trivial=trivial,
        return_oracle=oracle,
        score=_apart(float(returns.mean()), trivial, oracle) if probing else reference.score(returns),
        violation_rate=rate,
        violation_adapting=rate if probing else float("nan"),
        eval_episodes=0 if probing else len(returns),
        wall_s=0.0,
        cpu_s=0.0,
        expert_id=None,
        commit=source_commit(),
    )


def _apart(return_mean: float, trivial: float, oracle: float) -> float:
    """Return the score of a return that was got on other streams than the references'; the return without an oracle."""
    return (return_mean - trivial) / (oracle - trivial) if np.isfinite(oracle) else return_mean


def _failed(state: RunState, piece: Piece, error: BaseException) -> None:
    reason = failure_reason(error)
    state.failures.append(Failure(piece.label, piece.stage, reason))
    state.progress.unit_failed(piece.key, piece.label, reason)


def mean_over(rows: Sequence[Result], column: Literal["return_mean", "score", "violation_rate"]) -> float:
    """Return the mean of a column over rows."""
    return float(np.mean([getattr(row, column) for row in rows]))
