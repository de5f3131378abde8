"""Which expert to deploy: the best on the validation split, why, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.normalisation import BY_ORACLE
from roamrl.platform.evaluation.statistics import Bootstrap, Estimate, Floats, win_matrix
from roamrl.platform.report.run_data import Row, RunData, first_seen, read_run

LIKELY = 0.75


@dataclass(frozen=True)
class Candidate:
    """An expert and its scores on the validation tasks.

    Attributes:
        expert_id: Id in the store.
        arm: Arm of the study it belongs to.
        strategy: Its strategy.
        seed: Its seed.
        scores: Score by validation task id.
        env_steps: Environment steps it was trained for.
    """

    expert_id: str
    arm: str
    strategy: str
    seed: int
    scores: dict[str, float]
    env_steps: float

    @property
    def mean(self) -> float:
        """Mean score over the validation tasks."""
        return float(np.mean(list(self.scores.values())))


@dataclass(frozen=True)
class Recommendation:
    """The expert to deploy.

    Attributes:
        expert_id: Id in the store.
        arm: Arm of the study it belongs to.
        strategy: Its strategy.
        seed: Its seed.
        score: Mean score on the validation tasks with its interval over tasks.
        tasks: Number of validation tasks.
        candidates: Number of experts it was chosen from.
        runner_up: The next best expert, None if there is only one.
        sureness: Probability of improvement over the runner-up with its interval over tasks; None without one.
        classical: Mean score of the tuned classical policy on the same tasks, NaN if unknown.
        elsewhere: Its mean score on other splits, which played no part in the choice.
        reasons: Why, and how sure, in sentences.
    """

    expert_id: str
    arm: str
    strategy: str
    seed: int
    score: Estimate
    tasks: int
    candidates: int
    runner_up: Candidate | None
    sureness: Estimate | None
    classical: float
    elsewhere: dict[str, float]
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """The recommendation for people."""
        head = f"deploy expert {self.expert_id} (arm {self.arm}, strategy {self.strategy}, seed {self.seed})"
        return "\n".join([head, *(f"- {reason}" for reason in self.reasons)])


def recommend(run: Path) -> Recommendation:
    """Return the expert of a run with the best mean score on the validation split; `InputError` if none was scored.

    Experts are ranked by their mean over the validation tasks; how sure that is, is the probability of improvement over
    the runner-up, with both scored on the same tasks, and its bootstrap interval over tasks (an expert is one
    policy, so there are no seeds to resample). It is called sure only if a sign test over tasks agrees, which needs at
    least six of them at 95 %.
    """
    data = read_run(run)
    candidates, narrow = _candidates(data)
    ranked = sorted(candidates, key=lambda candidate: candidate.mean, reverse=True)
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    tasks = list(best.scores)
    bootstrap = data.settings.bootstrap
    score = _over_tasks(np.array([best.scores[task] for task in tasks]), bootstrap)
    sureness = _over_tasks(_wins(best, second), bootstrap) if second is not None else None
    classical = _classical(data.rows, tasks)
    elsewhere = _elsewhere(data, best.expert_id)
    reasons = [
        _score_reason(data, score, len(ranked)),
        _sureness_reason(best, second, sureness, bootstrap),
        *_classical_reason(best.mean, classical),
        *_elsewhere_reason(elsewhere),
        *_narrow_reason(narrow),
    ]
    return Recommendation(
        expert_id=best.expert_id,
        arm=best.arm,
        strategy=best.strategy,
        seed=best.seed,
        score=score,
        tasks=len(tasks),
        candidates=len(ranked),
        runner_up=second,
        sureness=sureness,
        classical=classical,
        elsewhere=elsewhere,
        reasons=tuple(reasons),
    )


def _candidates(data: RunData) -> tuple[list[Candidate], int]:
    """Return the experts scored on all validation tasks, and how many were scored on fewer."""
    scored = [row for row in data.rows if row.split == data.val and row.expert_id and row.stage != "reference"]
    if not scored:
        raise InputError(
            f"{data.folder} has no expert scored on the split {data.val!r}: nothing to recommend; "
            "give the study a strategy that pretrains (joint, reuse) and run it again"
        )
    everyone = [_candidate(expert, scored) for expert in first_seen(row.expert_id or "" for row in scored)]
    widest = max(len(candidate.scores) for candidate in everyone)
    full = [candidate for candidate in everyone if len(candidate.scores) == widest]
    tasks = set(full[0].scores)
    kept = [candidate for candidate in full if set(candidate.scores) == tasks]
    return kept, len(everyone) - len(kept)


def _candidate(expert_id: str, rows: Sequence[Row]) -> Candidate:
    mine = [row for row in rows if row.expert_id == expert_id]
    by_task: dict[str, list[float]] = {}
    for row in mine:
        by_task.setdefault(row.task_id, []).append(row.score)
    return Candidate(
        expert_id=expert_id,
        arm=" = ".join(first_seen(row.arm for row in mine)),
        strategy=mine[0].strategy,
        seed=mine[0].seed,
        scores={task: float(np.mean(by_task[task])) for task in sorted(by_task)},
        env_steps=mine[0].env_steps,
    )


def _wins(best: Candidate, second: Candidate) -> Floats:
    """Return by validation task 1 where the best expert beats the other, a half for a tie, else 0."""
    return np.array([float(win_matrix([score], [second.scores[task]])[0, 0]) for task, score in best.scores.items()])


def _over_tasks(values: Floats, bootstrap: Bootstrap) -> Estimate:
    """Return the mean over tasks with the bootstrap interval over tasks, which needs at least two."""
    mean = float(np.mean(values))
    if values.size < 2:
        return Estimate(mean, np.nan, np.nan, values.size)
    rows = bootstrap.generator().integers(0, values.size, (bootstrap.resamples, values.size))
    low, high = bootstrap.interval(np.asarray(values[rows].mean(axis=1)))
    return Estimate(mean, float(low), float(high), values.size)


def _classical(rows: Sequence[Row], tasks: Sequence[str]) -> float:
    scores = {row.task_id: row.score for row in rows if row.stage == "reference" and row.arm == "classical"}
    return float(np.mean([scores[task] for task in tasks])) if all(task in scores for task in tasks) else float("nan")


def _elsewhere(data: RunData, expert_id: str) -> dict[str, float]:
    mine = [row for row in data.rows if row.expert_id == expert_id and row.split != data.val]
    splits = first_seen(row.split for row in mine)
    return {split: float(np.mean([row.score for row in mine if row.split == split])) for split in splits}


def _range(estimate: Estimate) -> str:
    return f" [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate.has_interval else " (no interval: one task)"


def _score_reason(data: RunData, score: Estimate, among: int) -> str:
    count = f"{score.runs} task{'s' if score.runs != 1 else ''}"
    chosen = f"the best of {among} experts" if among > 1 else "the only expert that was scored"
    yardstick = data.val_yardstick
    meaning = "0 is trivial, 1 the oracle" if yardstick is BY_ORACLE else yardstick.explained
    return f"mean {yardstick.name} on {data.val} ({count}): {score.value:.2f}{_range(score)}, {chosen}; {meaning}"


def _sureness_reason(best: Candidate, second: Candidate | None, sureness: Estimate | None, bootstrap: Bootstrap) -> str:
    if second is None or sureness is None:
        return "there is no second expert to compare it with"
    return (
        f"better than the runner-up {second.expert_id[:12]} (arm {second.arm}, {second.mean:.2f}) by "
        f"{best.mean - second.mean:.2f}; it wins a task with probability {sureness.value:.2f}{_range(sureness)}: "
        f"{_sureness_word(_wins(best, second), bootstrap)}"
    )


def _sureness_word(wins: Floats, bootstrap: Bootstrap) -> str:
    """Return how sure it is that the best expert is better than the runner-up, by the sign test over tasks."""
    won, lost = int(np.count_nonzero(wins > 0.5)), int(np.count_nonzero(wins < 0.5))
    if wins.size < 2:
        return "one task cannot tell"
    if won > lost and binomtest(won, won + lost).pvalue <= 1.0 - bootstrap.confidence:
        return "sure on these tasks"
    return "likely, but more tasks are needed to be sure" if wins.mean() >= LIKELY else "not sure, either will do"


def _classical_reason(mean: float, classical: float) -> list[str]:
    if not np.isfinite(classical):
        return []
    if classical >= mean:
        return [f"CAUTION: the tuned classical policy scores {classical:.2f} on the same tasks and needs no training"]
    return [f"the tuned classical policy scores {classical:.2f} on the same tasks"]


def _narrow_reason(narrow: int) -> list[str]:
    were = "expert was" if narrow == 1 else "experts were"
    return [f"{narrow} {were} scored on fewer validation tasks and left out"] if narrow else []


def _elsewhere_reason(elsewhere: dict[str, float]) -> list[str]:
    if not elsewhere:
        return []
    parts = ", ".join(f"{split} {score:.2f}" for split, score in elsewhere.items())
    return [f"unchanged on other splits, which played no part in the choice: {parts}"]
