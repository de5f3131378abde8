"""Making an environment from elsewhere with one context: its constructor's arguments, then its attributes."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from roamrl.envs.adapters.config import GymnasiumConfig, VariableConfig
from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError, unknown_name

AnyEnv = gymnasium.Env[Any, Any]


def load_function(path: str, what: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names.

    Raises:
        InputError: If the module cannot be imported, has no such name, or the name is no function.
    """
    module, _, name = path.partition(":")
    found = getattr(_import(module, what, path), name, None) if name else None
    if found is None:
        public = [known for known in dir(_import(module, what, path)) if not known.startswith("_")]
        raise unknown_name(f"{what} in module {module!r}", name, public)
    if not callable(found):
        raise InputError(f"{what} {path!r} is a {type(found).__name__}; name a function or class as module:function")
    return found  # type: ignore[no-any-return]


def constructor_kwargs(config: GymnasiumConfig, context: Mapping[str, JSON], seed: int | None = None) -> dict[str, Any]:
    """Return the constructor's arguments in a context: the registered ones, the fixed ones, the context's, the seed."""
    kwargs = copy.deepcopy(_registered_kwargs(config.make))
    _merge(kwargs, config.kwargs)
    for variable in config.variables:
        if variable.set == "kwarg":
            _put(kwargs, variable.at, native(variable, context[variable.name]))
    if config.seed_kwarg is not None and seed is not None:
        _put(kwargs, config.seed_kwarg, seed)
    return kwargs


def make_environment(config: GymnasiumConfig, kwargs: Mapping[str, Any]) -> AnyEnv:
    """Make the environment, without Gymnasium's own cut of episodes.

    Raises:
        InputError: If there is no such environment or it refuses the arguments.
    """
    spec = registration(config.make)
    try:
        if spec is not None:
            return gymnasium.make(spec, max_episode_steps=-1, disable_env_checker=True, **kwargs)
        made = load_function(config.make, "environment")(**kwargs)
    except TypeError as error:
        raise InputError(f"{config.make} refused the arguments {sorted(kwargs)}: {error}") from error
    if not isinstance(made, gymnasium.Env):
        raise InputError(f"{config.make} returned a {type(made).__name__}; a gymnasium.Env is needed")
    return made


def registration(make: str) -> gymnasium.envs.registration.EnvSpec | None:
    """Return Gymnasium's record of an environment; None where ``make`` names a function.

    Raises:
        InputError: If it is neither.
    """
    module, colon, name = make.rpartition(":")
    if colon and callable(getattr(_import(module, "environment", make), name, None)):
        return None
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error:
        known = [*gymnasium.registry, *(dir(importlib.import_module(module)) if colon else ())]
    close = str(unknown_name("environment", name, known)).split("known:")[0]
    raise InputError(f"{close}give a registered Gymnasium id, 'module:id' or 'module:function'; got {make!r}")


def place_context(env: AnyEnv, config: GymnasiumConfig, context: Mapping[str, JSON]) -> None:
    """Set the context's attributes, what follows from them, and what the study's own function does with the context.

    Raises:
        InputError: If an attribute does not exist.
    """
    inner = env.unwrapped
    attributes = [variable for variable in config.variables if variable.set == "attribute"]
    for variable in attributes:
        owner, name = _owner(inner, variable)
        setattr(owner, name, native(variable, context[variable.name]))
    if attributes:
        _refresh(inner)
    if config.apply is not None:
        load_function(config.apply, "function to apply")(inner, dict(context))


def check_kept(env: AnyEnv, config: GymnasiumConfig, context: Mapping[str, JSON]) -> None:
    """Check after a reset that the attributes still have the context's values.

    Raises:
        InputError: If the environment's reset set one anew.
    """
    for variable in config.variables:
        if variable.set == "attribute" and not np.array_equal(read_attribute(env, variable), context[variable.name]):
            raise InputError(
                f"reset() of {config.make} sets {variable.at!r} anew, so the context's value is lost; give it as a "
                "constructor argument ('set: kwarg'), or with a function of your own ('set: apply')"
            )


def read_attribute(env: AnyEnv, variable: VariableConfig) -> Any:
    """Return the value of the attribute that a variable names."""
    owner, name = _owner(env.unwrapped, variable)
    return getattr(owner, name)


def native(variable: VariableConfig, value: JSON) -> JSON:
    """Return a context value as the environment takes it: whole numbers as int, other numbers as float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return copy.deepcopy(value)
    return int(value) if variable.integer else float(value)


def _refresh(inner: Any) -> None:
    """Work out anew what a known environment computed from its attributes when it was made."""
    if isinstance(inner, CartPoleEnv):
        inner.total_mass = inner.masspole + inner.masscart
        inner.polemass_length = inner.masspole * inner.length


def _owner(inner: Any, variable: VariableConfig) -> tuple[Any, str]:
    *parents, name = variable.at.split(".")
    owner = inner
    for parent in parents:
        owner = getattr(_having(owner, parent, variable), parent)
    return _having(owner, name, variable), name


def _having(owner: Any, attribute: str, variable: VariableConfig) -> Any:
    if not hasattr(owner, attribute):
        known = [name for name in vars(owner) if not name.startswith("_")]
        raise unknown_name(f"attribute of {type(owner).__name__} (context.{variable.name})", attribute, known)
    return owner


def _import(module: str, what: str, path: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{what} {path!r}: module {module!r} cannot be imported ({error}); install its package, or name the folder "
            "that holds it in PYTHONPATH"
        ) from error


def _registered_kwargs(make: str) -> dict[str, Any]:
    spec = registration(make)
    return {} if spec is None else dict(spec.kwargs)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _put(kwargs: dict[str, Any], at: str, value: Any) -> None:
    *parents, name = at.split(".")
    place = kwargs
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
