"""What a study says about an environment from elsewhere: how to make it, what varies in it, how an episode ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from roamrl.envs.adapters.laws import read_law, refuse_overlap
from roamrl.envs.canonical import JSON, plain
from roamrl.envs.errors import InputError, unknown_name

PLACES: Final = ("attribute", "kwarg", "apply")
VISIBILITIES: Final = ("observed", "inferable", "hidden")
AFFECTS: Final = ("dynamics", "reward", "observation")
ROLES: Final = ("trivial", "classical", "oracle")

EXAMPLE: Final[Mapping[str, JSON]] = {
    "make": "CartPole-v1",
    "context": {
        "length": {"train": [0.4, 0.8], "ood": [1.0, 1.6], "unit": "m", "about": "half the pole's length"},
        "gravity": {"train": [8.0, 12.0], "ood": [15.0, 20.0], "unit": "m/s2", "about": "acceleration"},
        "force_mag": {"train": [8.0, 12.0], "ood": [3.0, 5.0], "unit": "N", "about": "push on the cart"},
    },
}
"""What the family is where a study says nothing."""


@dataclass(frozen=True)
class VariableConfig:
    """One context variable of the environment.

    Attributes:
        name: What studies call it.
        set: Where it goes: ``attribute`` (of ``env.unwrapped``), ``kwarg`` (of the constructor) or ``apply`` (only the
            function named by ``apply`` looks at it).
        at: Dotted place there, e.g. ``config.ue.velocity``; its name if nothing else is said.
        default: Value where nothing else is said; None until the environment was asked.
        train: ``[low, high]``, ``{choose: [..]}``, or None to keep the default.
        ood: The same outside the training range.
        unit: Unit of its values.
        integer: Whether it is a whole number.
        visibility: ``inferable`` or ``hidden``; whatever the config's ``observed`` names is observed.
        affects: What it changes.
        about: One line for people.
    """

    name: str
    set: str = "attribute"
    at: str = ""
    default: JSON = None
    train: JSON = None
    ood: JSON = None
    unit: str = "1"
    integer: bool = False
    visibility: str = "hidden"
    affects: tuple[str, ...] = ("dynamics",)
    about: str = ""


@dataclass(frozen=True)
class GymnasiumConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        make: A Gymnasium id, ``module:id`` where importing the module registers it, or ``module:function``.
        kwargs: Constructor arguments that do not vary.
        variables: The context.
        apply: ``module:function`` called with (``env.unwrapped``, context) before every reset, for what an attribute
            alone cannot say.
        max_episode_steps: Steps after which an episode is cut; 0 until the environment's registration was asked.
        observed: Numeric context variables appended to the observation, scaled to -1..1 over the training range.
        seed_kwarg: Dotted constructor argument that takes an episode's seed, for environments whose ``reset(seed=..)``
            does not determine the episode; they are then made anew for every episode.
        repeatable: Whether the same seed and actions give the same episode; it is checked unless false.
        references: ``module:function`` by role, called with (observation, ``env.unwrapped``, context) for an action.
        async_rows: Batches of at most so many rows run as Gymnasium's ``AsyncVectorEnv``, a process a row.
    """

    make: str
    kwargs: Mapping[str, JSON]
    variables: tuple[VariableConfig, ...]
    apply: str | None = None
    max_episode_steps: int = 0
    observed: tuple[str, ...] = ()
    seed_kwarg: str | None = None
    repeatable: bool = True
    references: Mapping[str, str] | None = None
    async_rows: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the context variables."""
        return tuple(variable.name for variable in self.variables)

    def to_json(self) -> dict[str, JSON]:
        """Return the config as plain JSON values."""
        context = {variable.name: asdict(variable) for variable in self.variables}
        for row in context.values():
            del row["name"]
        own: dict[str, JSON] = {field.name: getattr(self, field.name) for field in fields(self)}
        del own["variables"]
        converted: dict[str, JSON] = plain({**own, "context": context, "references": dict(self.references or {})})
        return converted


def read_config(given: Mapping[str, JSON]) -> GymnasiumConfig:
    """Check what a study says and fill in what does not need the environment itself.

    Raises:
        InputError: If a key is unknown, ``make`` is missing, or a value is refused.
    """
    values = dict(given) or dict(EXAMPLE)
    known = {field.name for field in fields(GymnasiumConfig)} - {"variables"} | {"context"}
    _refuse_strangers("config key", values, known)
    if not isinstance(values.get("make"), str) or not values["make"]:
        raise InputError("config.make says which environment: a Gymnasium id (CartPole-v1) or module:function")
    variables = tuple(_variable(str(name), row) for name, row in _mapping("context", values.pop("context", {})).items())
    values["observed"] = tuple(values.get("observed") or ())
    values["references"] = _mapping("references", values.get("references") or {})
    _refuse_strangers("reference role", values["references"], ROLES)
    config = GymnasiumConfig(
        **{**values, "kwargs": _mapping("kwargs", values.get("kwargs", {})), "variables": variables}
    )
    _check(config)
    return config


def _check(config: GymnasiumConfig) -> None:
    _refuse_strangers("observed context variable", config.observed, config.names)
    for name in ("max_episode_steps", "async_rows"):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InputError(f"config.{name} is a whole number, not {value!r}")
    if config.apply is None and any(variable.set == "apply" for variable in config.variables):
        raise InputError("a context variable with 'set: apply' needs config.apply: 'module:function' to act on it")


def _variable(name: str, given: Any) -> VariableConfig:
    row = _mapping(f"context.{name}", given)
    _refuse_strangers(f"key of context.{name}", row, {field.name for field in fields(VariableConfig)} - {"name"})
    variable = VariableConfig(**{**row, "name": name, "affects": tuple(row.get("affects") or ("dynamics",))})
    if not variable.at:
        variable = VariableConfig(**{**asdict(variable), "at": name})
    _refuse_strangers(f"place of context.{name} ('set')", [variable.set], PLACES)
    _refuse_strangers(f"visibility of context.{name}", [variable.visibility], VISIBILITIES)
    _refuse_strangers(f"effect of context.{name} ('affects')", variable.affects, AFFECTS)
    try:
        refuse_overlap(read_law(variable.train, variable.integer), read_law(variable.ood, variable.integer))
    except InputError as error:
        raise InputError(f"context.{name}: {error}") from error
    return variable


def _mapping(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"config.{place} is a map of names to values, not {value!r}")
    return dict(value)


def _refuse_strangers(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in set(known):
            raise unknown_name(kind, str(name), known)
