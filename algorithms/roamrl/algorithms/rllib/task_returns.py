"""Returns by task: what members of several tasks got on each of them while they learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.meta_learning import MAMLSettings, ReptileSettings

MOST_TASKS: Final = 64
"""Largest pool whose tasks are told apart; of larger ones a rollout ends too few episodes a task to say anything."""

STRETCHES: Final = 100
"""Most points of a curve by task: training is cut into so many stretches, so that curves stay small."""


def tasks_told_apart(spec: LearnerSpec) -> int:
    """Return K, the tasks of the largest pool of a learner's members; 0 if it is one task, or more than are told."""
    most = max(len(member.tasks) for member in spec.members)
    return most if 1 < most <= MOST_TASKS else 0


@dataclass(frozen=True)
class TaskReturns:
    """Episodes that ended in one rollout, by task; tasks are numbered as in the member's own pool.

    Attributes:
        ended: Episodes, [P, K].
        return_sum: Sum of their undiscounted returns, [P, K].
    """

    ended: NDArray[np.int64]
    return_sum: NDArray[np.float64]

    @classmethod
    def none_yet(cls, members: int, tasks: int) -> TaskReturns:
        """Return the record of no episode."""
        return cls(np.zeros((members, tasks), np.int64), np.zeros((members, tasks)))

    @classmethod
    def join(cls, parts: Sequence[TaskReturns]) -> TaskReturns:
        """Return one record of all members of some, in their order."""
        return cls(np.concatenate([part.ended for part in parts]), np.concatenate([part.return_sum for part in parts]))

    def count(self, ended: NDArray[np.bool_], tasks: NDArray[np.int64], returns: NDArray[np.float64]) -> None:
        """Add the episodes that a step ended: whether, on which task, and with what return, [P, B] each."""
        member, row = np.nonzero(ended)
        place = member, tasks[member, row]
        np.add.at(self.ended, place, 1)
        np.add.at(self.return_sum, place, returns[member, row])


@dataclass(frozen=True)
class TaskCurve:
    """A learner's training by task, one entry a stretch of iterations.

    Attributes:
        iteration: Iterations done at its end, [J].
        env_steps: Environment steps a member has made by then, on all tasks, [J].
        ended: Episodes that ended in the stretch, [J, P, K]; a member with fewer than K tasks has none of the others.
        return_mean: Their mean return, NaN without any, [J, P, K].
    """

    iteration: NDArray[np.int64]
    env_steps: NDArray[np.int64]
    ended: NDArray[np.int64]
    return_mean: NDArray[np.float64]


@dataclass
class TaskRecorder:
    """Sums up the iterations of each stretch.

    Attributes:
        stretch: Iterations in each.
        tasks: K.
        iterations: Iterations recorded.
    """

    stretch: int
    tasks: int
    iterations: int = 0
    env_steps: list[int] = field(default_factory=list)
    sums: list[TaskReturns] = field(default_factory=list)

    @classmethod
    def of(cls, spec: LearnerSpec) -> TaskRecorder | None:
        """Return the recorder of a learner; None if its tasks are not told apart.

        A stretch of members that learn to adapt holds whole meta-iterations: rollouts before and after adaptation.
        """
        tasks = tasks_told_apart(spec)
        if not tasks:
            return None
        rollouts = spec.meta.rollouts if isinstance(spec.meta, MAMLSettings | ReptileSettings) else 1
        return cls(rollouts * -(-spec.iterations // (rollouts * STRETCHES)), tasks)

    def add(self, env_steps: int, returns: TaskReturns) -> None:
        """Record an iteration after which a member has made ``env_steps`` steps."""
        if self.iterations % self.stretch == 0:
            self.env_steps.append(env_steps)
            self.sums.append(TaskReturns.none_yet(len(returns.ended), self.tasks))
        self.env_steps[-1] = env_steps
        np.add(self.sums[-1].ended, returns.ended, out=self.sums[-1].ended)
        np.add(self.sums[-1].return_sum, returns.return_sum, out=self.sums[-1].return_sum)
        self.iterations += 1

    def curve(self) -> TaskCurve:
        """Return everything recorded so far."""
        count = len(self.sums)
        ended = np.array([each.ended for each in self.sums], np.int64).reshape(count, -1, self.tasks)
        total = np.array([each.return_sum for each in self.sums], np.float64).reshape(ended.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(ended > 0, total / ended, np.nan)
        done = np.minimum(self.stretch * np.arange(1, count + 1, dtype=np.int64), self.iterations)
        return TaskCurve(done, np.array(self.env_steps, np.int64), ended, mean)

    def state(self) -> dict[str, Any]:
        """Return the records as arrays."""
        return {
            "stretch": self.stretch,
            "tasks": self.tasks,
            "iterations": self.iterations,
            "env_steps": list(self.env_steps),
            "ended": [each.ended.copy() for each in self.sums],
            "return_sum": [each.return_sum.copy() for each in self.sums],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TaskRecorder:
        """Go on from :meth:`state`'s result."""
        sums = [
            TaskReturns(ended.copy(), total.copy())
            for ended, total in zip(state["ended"], state["return_sum"], strict=True)
        ]
        return cls(state["stretch"], state["tasks"], state["iterations"], list(state["env_steps"]), sums)
