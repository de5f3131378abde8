"""The context table of an environment from elsewhere, and the numbers by which its tasks are compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.adapters.config import GymnasiumConfig, VariableConfig
from roamrl.envs.adapters.faces import training_scale
from roamrl.envs.adapters.laws import is_number, read_law
from roamrl.envs.adapters.making import native
from roamrl.envs.canonical import JSON
from roamrl.envs.context import Choice, ContextSpace, Variable
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task


def context_space(config: GymnasiumConfig) -> ContextSpace:
    """Return the context table under a full config."""
    return ContextSpace(tuple(_variable(config, row) for row in config.variables))


def task_features(task: Task, config: GymnasiumConfig) -> NDArray[np.float64]:
    """Return a context as numbers, -1..1 over the training range; anything but a number as 0/1 a known value, [D]."""
    features: list[float] = []
    for row in config.variables:
        value = task.context[row.name]
        if is_number(row.default):
            centre, half = training_scale(config, row.name)
            features.append((float(value) - centre) / half)
        else:
            features += [float(value == known) for known in _known_values(row)]
    return np.array(features, np.float64)


def _variable(config: GymnasiumConfig, row: VariableConfig) -> Variable:
    visibility: Any = "observed" if row.name in config.observed else row.visibility
    affects: Any = row.affects
    return Variable(
        name=row.name,
        unit=row.unit,
        default=row.default,
        train=read_law(row.train, row.integer),
        ood=read_law(row.ood, row.integer),
        visibility=visibility,
        affects=affects,
        check=_check_of(row),
        about=row.about,
    )


def _check_of(row: VariableConfig) -> Callable[[JSON], JSON]:
    return partial(_number, row) if is_number(row.default) else partial(_known, row)


def _number(row: VariableConfig, value: JSON) -> JSON:
    if not is_number(value) or (row.integer and value != int(value)):
        raise InputError(f"a {'whole ' if row.integer else ''}number is needed, not {value!r}")
    return native(row, value)


def _known(row: VariableConfig, value: JSON) -> JSON:
    if value not in _known_values(row):
        raise InputError(f"one of {_known_values(row)} is needed, not {value!r}; add it to train or ood")
    return value


def _known_values(row: VariableConfig) -> list[JSON]:
    values = [row.default]
    for law in (read_law(row.train, row.integer), read_law(row.ood, row.integer)):
        values += [value for value in (law.values if isinstance(law, Choice) else ()) if value not in values]
    return values
