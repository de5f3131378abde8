"""What a learner's environment does wrong, told with the task's name: it raises, hangs, or gives no numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.rllib.watchdog import EnvironmentHungError, Watchdog
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

_SHOWN = 3
_CONTEXT_LETTERS = 160
_Answer = TypeVar("_Answer")


class EnvironmentFaultError(RuntimeError):
    """An environment raised an error, or gave observations or rewards that are not finite."""


class EnvironmentGuard:
    """Stands between those who play and their environment.

    Args:
        members: Who plays.
        patience_s: Seconds that a step or reset of all rows may take; infinity for no limit.
        folder: The learner's folder, if it has one.
        env_id: The environment of members without tasks.
    """

    def __init__(
        self,
        members: Sequence[MemberSpec] = (),
        patience_s: float = math.inf,
        folder: Path | None = None,
        env_id: str | None = None,
    ) -> None:
        self._members = members
        self._env_id = env_id
        self._watchdog = Watchdog(patience_s, self._everyone(), folder)

    def call(self, what: str, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        """Return what a call into the environment returns.

        Raises:
            EnvironmentHungError: If it does not come back in time.
            EnvironmentFaultError: If it raises, bad input apart.
        """
        try:
            return self._watchdog.call(what, function, *arguments)
        except (EnvironmentHungError, InputError):
            raise
        except Exception as error:
            told = (str(error).strip() or "no message").splitlines()[0]
            raise EnvironmentFaultError(
                f"the environment of {self._everyone()} failed in {what} with {type(error).__name__}: {told}"
            ) from error

    def check(self, rollout: Rollout) -> None:
        """Check that rewards and observations of a rollout are finite.

        Raises:
            EnvironmentFaultError: With the first step, the member and its task where they are not.
        """
        for what, array in (("a reward", rollout.rewards), ("an observation", rollout.obs)):
            if not _finite(array):
                step, member, row = (int(found[0]) for found in np.nonzero(~np.isfinite(array))[:3])
                self._refuse(what, step, member, rollout.tasks[step, member, row] if rollout.tasks is not None else -1)
        if not _finite(rollout.last_obs):
            member = int(np.nonzero(~np.isfinite(rollout.last_obs))[0][0])
            self._refuse("an observation", len(rollout.rewards), member, -1)
        if not _finite(rollout.final_obs):
            step, member, _ = rollout.final_at[np.nonzero(~np.isfinite(rollout.final_obs))[0][0]]
            self._refuse("a final observation", int(step), int(member), -1)

    def _refuse(self, what: str, step: int, member: int, task: int) -> None:
        tasks = self._members[member].tasks if self._members else ()
        own = tasks[task : task + 1] if task >= 0 else tasks
        raise EnvironmentFaultError(
            f"the environment of {_names(own, self._env_id)} gave {what} that is not finite, at step {step} of a "
            f"rollout (member {member})"
        )

    def _everyone(self) -> str:
        every = dict.fromkeys(task for member in self._members for task in member.tasks)
        return _names(list(every), self._env_id)


def _names(tasks: Sequence[Task], env_id: str | None) -> str:
    if not tasks:
        return env_id or "no task"
    named = "; ".join(_name(task) for task in tasks[:_SHOWN])
    if len(tasks) == 1:
        return f"task {named}"
    return f"one of {len(tasks)} tasks ({named}{'; ..' if len(tasks) > _SHOWN else ''})"


def _name(task: Task) -> str:
    context = json.dumps(dict(task.context), default=str)
    shown = context if len(context) <= _CONTEXT_LETTERS else f"{context[:_CONTEXT_LETTERS]}.."
    return f"{task.id[:12]} of {task.family} with {shown}"


def _finite(array: NDArray[Any]) -> bool:
    """Return whether all are finite; a finite sum says so without looking at each."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
