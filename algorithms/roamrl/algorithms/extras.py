"""Extras: numbers that a policy reads beside the observation, appended to its last axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.family import family_of
from roamrl.envs.task import Task

TaskInput = Literal["none", "number", "context"]

UNKNOWN_TASK = -1
"""Number of a task that is not in a member's pool."""

_MOST = 1 << 16


@dataclass(frozen=True)
class Extras:
    """What is appended to every observation: feedback, then noise, then what is said of the task.

    Attributes:
        task: Of the task being played: nothing, its number in the member's pool (-1 for a task outside it), or its
            context as numbers of about one (``Family.features``).
        contexts: How many numbers the context has; 0 unless ``task`` is ``context``.
        feedback: Whether the last action, its reward and whether it ended its episode are appended; zeros at the
            beginning of a trial (:class:`roamrl.algorithms.feedback.Feedback`).
        actions: How many numbers an action is fed back as; 0 unless ``feedback``.
        noise: How many standard normal numbers are appended, drawn at the beginning of every episode and held to its
            end; zeros where a policy acts greedily.
        trial_episodes: Consecutive episodes that a row plays on one task, a trial; feedback and memory begin anew with
            each trial. 1: with each episode.
    """

    task: TaskInput = "none"
    contexts: int = 0
    feedback: bool = False
    actions: int = 0
    noise: int = 0
    trial_episodes: int = 1

    def __post_init__(self) -> None:
        if self.task not in get_args(TaskInput):
            raise unknown_name("task input", str(self.task), get_args(TaskInput))
        if (self.task == "context") != (self.contexts > 0):
            raise InputError(f"extras with task {self.task!r} and {self.contexts} context numbers do not go together")
        if self.feedback != (self.actions > 0):
            raise InputError(
                f"extras with feedback {self.feedback} and {self.actions} numbers an action do not go together; "
                "action_numbers(action_space) says how many there are"
            )
        if self.trial_episodes < 1 or self.noise < 0:
            raise InputError(f"a trial has at least one episode, got {self.trial_episodes}, and noise {self.noise}")

    @property
    def feedback_columns(self) -> int:
        """How many numbers are fed back: an action's, the reward, the end."""
        return self.actions + 2 if self.feedback else 0

    @property
    def task_columns(self) -> int:
        """How many numbers are said of the task."""
        return 1 if self.task == "number" else self.contexts

    @property
    def columns(self) -> int:
        """How many numbers are appended."""
        return self.feedback_columns + self.noise + self.task_columns

    def of_task(self, task: Task, number: int = UNKNOWN_TASK) -> NDArray[np.float32]:
        """Return what is said of a task while it is played, [task_columns].

        Args:
            task: The task.
            number: Its number in the member's pool.
        """
        if self.task == "number":
            return np.array([number], np.float32)
        if self.task == "none":
            return np.zeros(0, np.float32)
        return np.asarray(family_of([task]).features(task), np.float32)

    def of_tasks(self, tasks: Sequence[Task]) -> NDArray[np.float32]:
        """Return what is said of each task while it is played, [T, task_columns], numbered in their order."""
        return np.stack([self.of_task(task, number) for number, task in enumerate(tasks)])

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(Extras, name)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Extras:
        """Read :meth:`to_json`'s form.

        Raises:
            InputError: If a name is unknown or a value is refused.
        """
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise unknown_name("extra input", str(name), known)
        if not isinstance(value.get("feedback", False), bool):
            raise InputError(f"the extra input 'feedback' is true or false, got {value['feedback']!r}")
        for name in ("contexts", "actions", "noise", "trial_episodes"):
            count = value.get(name, 0)
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST:
                raise InputError(f"the extra input {name!r} is a whole number in 0..{_MOST}, got {count!r}")
        return cls(**value)


def append(obs: NDArray[Any], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append numbers to observations.

    Args:
        obs: Observations [..., *O] with leading axes like those of ``columns``; where an observation has several axes,
            as a set of stations, each of its rows gets the numbers.
        columns: [..., C].
    """
    if columns.shape[-1] == 0:
        return obs.astype(np.float32, copy=False)
    inner = obs.ndim - columns.ndim
    wide = columns.reshape(*columns.shape[:-1], *(1,) * inner, columns.shape[-1])
    wide = np.broadcast_to(wide, (*obs.shape[:-1], columns.shape[-1]))
    return np.concatenate([obs, wide], axis=-1, dtype=np.float32)
