"""Context variables: what tells one member of a family from another, as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.errors import InputError, unknown_name

Visibility = Literal["observed", "inferable", "hidden"]
Affects = Literal["dynamics", "reward", "observation"]


class Law(Protocol):
    """A distribution over values of one context variable."""

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one value."""

    def describe(self) -> str:
        """Say the range in a few characters, for tables."""


@dataclass(frozen=True)
class Uniform:
    """A real number, uniform on [low, high]."""

    low: float
    high: float

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one value."""
        return float(rng.uniform(self.low, self.high))

    def describe(self) -> str:
        """Say the range in a few characters."""
        return f"U({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Choice:
    """One of a few values, with equal probability."""

    values: tuple[JSON, ...]

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one value."""
        return plain(self.values[int(rng.integers(len(self.values)))])

    def describe(self) -> str:
        """Say the values in a few characters."""
        return "{" + ", ".join(str(plain(value)) for value in self.values) + "}"


@dataclass(frozen=True)
class Dirichlet:
    """Non-negative weights that sum to one."""

    alpha: tuple[float, ...]

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one vector of weights."""
        return [float(weight) for weight in rng.dirichlet(self.alpha)]

    def describe(self) -> str:
        """Say the parameters in a few characters."""
        return f"Dirichlet({self.alpha[0]:g}) of {len(self.alpha)}"


def unchecked(value: JSON) -> JSON:
    """Accept any JSON value as it is."""
    return value


@dataclass(frozen=True)
class Variable:
    """One row of a family's context table.

    Attributes:
        name: What configs and split files call it.
        unit: Unit of its values, ``"1"`` for a pure number.
        default: Value where nothing else is said.
        train: Law from which training, validation and iid tasks draw; None keeps the default.
        ood: Law outside the training range for the split ``ood-<name>``; None if there is no such split.
        visibility: Whether the policy sees it, could infer it from observations, or cannot.
        affects: What it changes.
        check: Returns the value in canonical form or raises :class:`InputError`.
        about: One line for people.
    """

    name: str
    unit: str
    default: JSON
    train: Law | None
    ood: Law | None
    visibility: Visibility
    affects: tuple[Affects, ...]
    check: Callable[[JSON], JSON] = unchecked
    about: str = ""


@dataclass(frozen=True)
class ContextSpace:
    """The context table of a family under one config."""

    variables: tuple[Variable, ...]

    def __getitem__(self, name: str) -> Variable:
        """Return the variable of that name."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise unknown_name("context variable", name, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, in the table's order."""
        return tuple(variable.name for variable in self.variables)

    def resolve(self, partial: Mapping[str, JSON]) -> dict[str, JSON]:
        """Return a full context: the given values checked, defaults for the rest.

        Raises:
            InputError: If a name is unknown or a value is refused.
        """
        for name in partial:
            if name not in self.names:
                raise unknown_name("context variable", name, self.names)
        context = {}
        for variable in self.variables:
            value = partial.get(variable.name, variable.default)
            try:
                context[variable.name] = plain(variable.check(value))
            except InputError as error:
                raise InputError(f"context variable {variable.name!r}: {error}") from error
        return context

    def sample(
        self,
        rng: np.random.Generator,
        *,
        outside: Iterable[str] = (),
        fixed: Mapping[str, JSON] | None = None,
    ) -> dict[str, JSON]:
        """Draw a full context; every variable consumes the generator in table order.

        Args:
            rng: Source of randomness.
            outside: Variables drawn from their ``ood`` law instead of ``train``.
            fixed: Values that are not drawn.

        Raises:
            InputError: If a variable named in ``outside`` has no ``ood`` law.
        """
        beyond = set(outside)
        drawn: dict[str, JSON] = {}
        for variable in self.variables:
            law = variable.train
            if variable.name in beyond:
                if variable.ood is None:
                    raise InputError(f"context variable {variable.name!r} has no out-of-distribution range")
                law = variable.ood
            drawn[variable.name] = variable.default if law is None else law.sample(rng)
        return self.resolve({**drawn, **(fixed or {})})

    def vector(self, context: Mapping[str, JSON]) -> NDArray[np.float64]:
        """Return the numbers of a full context in table order, as one vector [D]; text and null are left out."""
        return np.array([number for name in self.names for number in _numbers(context[name])], dtype=np.float64)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    items = value.values() if isinstance(value, Mapping) else value
    return [number for item in items for number in _numbers(item)]
