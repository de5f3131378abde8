"""The learning curve while it grows: one record an iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.rllib.outcome import Curve, FloatArray
from roamrl.algorithms.rllib.task_returns import TaskRecorder, TaskReturns


@dataclass(frozen=True)
class PlayStats:
    """What the members did in one rollout.

    Attributes:
        ended: Episodes that ended, [P].
        return_sum: Sum of their undiscounted returns, [P].
        measures: Mean of each step measure over the rollout's steps, [P] by name.
        tasks: Episodes and returns by task; None where tasks are not told apart.
    """

    ended: NDArray[np.int64]
    return_sum: FloatArray
    measures: Mapping[str, FloatArray]
    tasks: TaskReturns | None = None

    @classmethod
    def join(cls, parts: Sequence[PlayStats]) -> PlayStats:
        """Return one record of all members of some, in their order."""
        tasks = [part.tasks for part in parts if part.tasks is not None]
        return cls(
            np.concatenate([part.ended for part in parts]),
            np.concatenate([part.return_sum for part in parts]),
            {name: np.concatenate([part.measures[name] for part in parts]) for name in parts[0].measures},
            TaskReturns.join(tasks) if tasks else None,
        )

    def return_mean(self) -> FloatArray:
        """Return the mean return of the ended episodes, NaN where none did, [P]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.ended > 0, self.return_sum / self.ended, np.nan)


@dataclass
class Recorder:
    """Collects records and turns them into a curve.

    Attributes:
        tasks: Collects the returns by task; None where tasks are not told apart.
    """

    env_steps: list[int] = field(default_factory=list)
    ended: list[NDArray[np.int64]] = field(default_factory=list)
    return_mean: list[FloatArray] = field(default_factory=list)
    measures: dict[str, list[FloatArray]] = field(default_factory=dict)
    losses: dict[str, list[FloatArray]] = field(default_factory=dict)
    tasks: TaskRecorder | None = None

    @property
    def iterations(self) -> int:
        """Iterations recorded."""
        return len(self.env_steps)

    def add(self, env_steps: int, play: PlayStats, losses: Mapping[str, NDArray[Any]]) -> None:
        """Record an iteration after which a member has made ``env_steps`` steps."""
        self.env_steps.append(env_steps)
        self.ended.append(play.ended)
        self.return_mean.append(play.return_mean())
        for name, values in play.measures.items():
            self.measures.setdefault(name, []).append(values)
        for name, values in losses.items():
            self.losses.setdefault(name, []).append(np.asarray(values, np.float64))
        if self.tasks is not None and play.tasks is not None:
            self.tasks.add(env_steps, play.tasks)

    def curve(self) -> Curve:
        """Return everything recorded so far."""
        count = self.iterations
        ended = np.array(self.ended, np.int64).reshape(count, -1)
        members = ended.shape[1]
        return Curve(
            np.arange(1, count + 1, dtype=np.int64),
            np.array(self.env_steps, np.int64),
            ended.cumsum(axis=0).sum(axis=1) // max(1, members),
            np.array(self.return_mean, np.float64).reshape(count, members),
            {name: np.array(values) for name, values in self.measures.items()},
            {name: np.array(values) for name, values in self.losses.items()},
            None if self.tasks is None else self.tasks.curve(),
        )

    def state(self) -> dict[str, Any]:
        """Return the records as arrays."""
        return {
            "env_steps": list(self.env_steps),
            "ended": np.array(self.ended),
            "return_mean": np.array(self.return_mean),
            "measures": {name: np.array(values) for name, values in self.measures.items()},
            "losses": {name: np.array(values) for name, values in self.losses.items()},
            "tasks": None if self.tasks is None else self.tasks.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Recorder:
        """Go on from :meth:`state`'s result."""
        return cls(
            list(state["env_steps"]),
            list(state["ended"]),
            list(state["return_mean"]),
            {name: list(values) for name, values in state["measures"].items()},
            {name: list(values) for name, values in state["losses"].items()},
            None if state.get("tasks") is None else TaskRecorder.from_state(state["tasks"]),
        )
