"""Looking at an environment from elsewhere once, before anything runs: defaults, spaces, and whether seeds hold."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.adapters.cell import ENDED, Cell
from roamrl.envs.adapters.config import GymnasiumConfig, VariableConfig, read_config
from roamrl.envs.adapters.faces import Face, make_face
from roamrl.envs.adapters.laws import is_number
from roamrl.envs.adapters.making import (
    constructor_kwargs,
    load_function,
    make_environment,
    read_attribute,
    registration,
)
from roamrl.envs.canonical import JSON, canonical_json, plain
from roamrl.envs.errors import InputError

_PROBE_STEPS: Final = 16


def examine(given: Mapping[str, JSON]) -> tuple[GymnasiumConfig, Face]:
    """Return a full config and the environment's face; the same answer is looked up, not worked out, the next time.

    Raises:
        InputError: If the environment cannot be made, lacks an attribute, has spaces without a flat form, or does not
            repeat an episode from its seed.
    """
    return _examine(canonical_json(given))


@lru_cache(maxsize=64)
def _examine(text: bytes) -> tuple[GymnasiumConfig, Face]:
    config = read_config(json.loads(text))
    config = replace(config, max_episode_steps=config.max_episode_steps or _registered_steps(config))
    config = replace(config, variables=tuple(_with_default(config, variable) for variable in config.variables))
    for role, path in (config.references or {}).items():
        load_function(path, f"reference {role}")
    context = {variable.name: variable.default for variable in config.variables}
    env: Any = make_environment(config, constructor_kwargs(config, context, 0))
    face = make_face(config, env.observation_space, env.action_space)
    env.close()
    if config.repeatable:
        _check_repeats(config, face, context)
    return config, face


def _registered_steps(config: GymnasiumConfig) -> int:
    spec = registration(config.make)
    if spec is None or not spec.max_episode_steps:
        raise InputError(f"{config.make} is registered without a length of episodes; give config.max_episode_steps")
    return int(spec.max_episode_steps)


def _with_default(config: GymnasiumConfig, variable: VariableConfig) -> VariableConfig:
    """Return a variable with its default, read from the environment where the study gives none."""
    if variable.default is not None:
        return variable
    if variable.set != "attribute":
        raise InputError(f"context.{variable.name} needs a default: only attributes can be read from an environment")
    known = {row.name: row.default for row in config.variables if row.default is not None}
    given = replace(config, variables=tuple(row for row in config.variables if row.name in known))
    env: Any = make_environment(given, constructor_kwargs(given, known, 0))
    value = plain(read_attribute(env, variable))
    env.close()
    if value is None or not (is_number(value) or isinstance(value, bool | str | list)):
        raise InputError(
            f"attribute {variable.at!r} of {config.make} holds {value!r}; give context.{variable.name} a default"
        )
    return replace(variable, default=value)


def _check_repeats(config: GymnasiumConfig, face: Face, context: Mapping[str, JSON]) -> None:
    cell = Cell(config, face)
    first, _, again = (_probe(cell, face, context, seed) for seed in (1, 2, 1))
    cell.close()
    if len(first) != len(again) or not all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
        raise InputError(
            f"{config.make}: reset(seed=1) twice gives two different episodes, so arms could not be compared on "
            "the same ones. Name the constructor's argument that takes the seed (seed_kwarg: PLACE), or accept noisier "
            "comparisons and resumed runs that differ (repeatable: false)"
        )


def _probe(cell: Cell, face: Face, context: Mapping[str, JSON], seed: int) -> list[NDArray[Any]]:
    """Return what the first steps of an episode give under random actions that are always the same."""
    space = copy.deepcopy(face.action)
    space.seed(0)
    seen: list[NDArray[Any]] = [cell.reset(seed=seed, options={"contexts": [context]})[0]]
    for _ in range(_PROBE_STEPS):
        obs, reward, _, _, info = cell.step(space.sample())
        seen += [obs, np.array(reward)]
        if ENDED in info:
            break
    return seen
