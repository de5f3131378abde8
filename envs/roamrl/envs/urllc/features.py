"""A context as numbers of about one: what the agent is shown, and by what contexts are compared."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.task import Task
from roamrl.envs.urllc.arrival_law import probabilities
from roamrl.envs.urllc.config import UrllcConfig

F64 = NDArray[np.float64]

_FADING_DB: Final = 5.0
_PENALTY: Final = 50.0

OBSERVED_NUMBERS: Final = {"arrivals": 2, "fading_mean_db": 1, "violation_cost": 1}
"""How many numbers of each variable the agent is shown."""


def observed_numbers(task: Task, config: UrllcConfig) -> F64:
    """Return the observed context of a task, scaled, in the order of ``config.observed``, [V]."""
    numbers = {
        "arrivals": _moments(task, config)[:2],
        "fading_mean_db": _fading(task),
        "violation_cost": _penalty(task),
    }
    return np.concatenate([np.zeros(0), *[numbers[name] for name in config.observed]])


def task_features(task: Task, config: UrllcConfig) -> F64:
    """Return the numbers by which contexts are compared, [5].

    They are the mean of the arrivals, their standard deviation over 2, the probability of none, the fading mean over
    5 dB, and the natural logarithm of the violation cost over 50 (as it grows from 0: of 1e-3 at least).
    """
    return np.concatenate([_moments(task, config), _fading(task), _penalty(task)])


def _moments(task: Task, config: UrllcConfig) -> F64:
    context: Any = task.context
    share = probabilities(context["arrivals"], config.max_arrivals)
    counts = np.arange(len(share))
    mean = float(share @ counts)
    deviation = math.sqrt(float(share @ (counts - mean) ** 2))
    return np.array([mean, deviation / 2.0, share[0]])


def _fading(task: Task) -> F64:
    return np.array([task.context["fading_mean_db"] / _FADING_DB])


def _penalty(task: Task) -> F64:
    return np.array([math.log(max(task.context["violation_cost"] / _PENALTY, 1e-3))])
