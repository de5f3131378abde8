"""From the JSON of a request to an expert's inputs, checked against what it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.envs.errors import unknown_name
from roamrl.platform.export import interface as ports
from roamrl.platform.serving.refusals import Refusal, unfit

MOST_BYTES = 8 << 20
"""Most bytes of a body."""

MOST_ROWS = 4096
"""Most observations of a batch."""

STATE = "state"
MEMORY = "memory"

_KINDS = {"b": "true and false", "i": "whole numbers", "f": "numbers"}


@dataclass(frozen=True)
class Wanted:
    """One input as requests have to give it.

    Attributes:
        key: Its key in the request; ``state`` stands for ``{"memory": ..}``.
        name: Its name in the model.
        shape: Its axes behind the batch axis; None for any number of entities.
        dtype: Its dtype in the model.
        space: Space whose bounds hold; None without bounds.
        start: What it holds at the beginning of a trial; None where it has to be given.
    """

    key: str
    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    space: spaces.Space[Any] | None
    start: float | None

    @property
    def words(self) -> str:
        """Its shape for messages."""
        return f"[{', '.join('entities' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Act:
    """A request for actions.

    Attributes:
        inputs: The model's inputs by name, N rows each.
        batch: Whether it asked for several rows; otherwise N = 1 and answers have no batch axis.
    """

    inputs: Mapping[str, NDArray[Any]]
    batch: bool


class RequestReader:
    """Reads requests to one expert."""

    def __init__(
        self, interface: Mapping[str, Any], observation_space: spaces.Box, action_space: spaces.Space[Any]
    ) -> None:
        """Read requests for a model's inputs.

        Args:
            interface: Its inputs and outputs, as ``Interface.to_json`` gives them.
            observation_space: Space of one observation.
            action_space: Space of one action.
        """
        bounds = {ports.OBSERVATION: observation_space, ports.LAST_ACTION: action_space}
        self._wanted = {wanted.key: wanted for wanted in (_wanted(port, bounds) for port in interface["inputs"])}
        self._handed_on = [key for key, it in self._wanted.items() if it.start is not None and key != ports.NOISE]

    def read(self, body: bytes) -> Act:
        """Return the inputs of a request.

        Raises:
            Refusal: 400 if the body is no JSON object; 413 if it has too many rows; 422 if a key is missing or
                unknown, or a value has another shape or dtype, is not finite, or lies outside its space.
        """
        given = self._keys(body)
        observation = self._wanted[ports.OBSERVATION]
        array = _array(observation, given[ports.OBSERVATION])
        extra = array.ndim - len(observation.shape)
        if extra not in (0, 1):
            raise unfit(_shape_message(observation, array))
        rows = array.shape[0] if extra else 1
        if rows > MOST_ROWS:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a batch has at most {MOST_ROWS} rows, got {rows}")
        inputs = {}
        for key, wanted in self._wanted.items():
            if key in given:
                values = array if key == ports.OBSERVATION else _array(wanted, _unwrapped(key, given[key]))
                inputs[wanted.name] = _checked(wanted, values, rows, bool(extra))
            else:
                assert wanted.start is not None
                shape = (rows, *(size for size in wanted.shape if size is not None))
                inputs[wanted.name] = np.full(shape, wanted.start, wanted.dtype)
        return Act(inputs, bool(extra))

    def _keys(self, body: bytes) -> dict[str, Any]:
        given = _json_object(body)
        for key in given:
            if key not in self._wanted:
                raise unfit(str(unknown_name("key of the request", key, self._wanted)))
        needed = [key for key, wanted in self._wanted.items() if wanted.start is None]
        if any(key in given for key in self._handed_on):
            needed += self._handed_on
        missing = [key for key in needed if key not in given]
        if missing:
            hint = ""
            if set(missing) & set(self._handed_on):
                hint = f"; at the beginning of a trial leave out all of {', '.join(self._handed_on)}"
            raise unfit(f"the request lacks {', '.join(missing)}{hint}")
        return given


def _wanted(port: Mapping[str, Any], bounds: Mapping[str, spaces.Space[Any]]) -> Wanted:
    key = STATE if port["name"] == ports.STATE_IN else port["name"]
    shape = tuple(None if axis == ports.ENTITIES else int(axis) for axis in port["axes"][1:])
    return Wanted(key, port["name"], shape, np.dtype(port["dtype"]), bounds.get(key), port.get("start"))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = f"the body is no JSON ({error})" if isinstance(error, ValueError) else "the body is nested too deep"
        raise Refusal(HTTPStatus.BAD_REQUEST, f'{message}; expected {{"observation": [..]}}') from error
    if not isinstance(given, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, 'the body is no JSON object; expected {"observation": [..]}')
    return given


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unwrapped(key: str, value: Any) -> Any:
    """Return the memory in a ``state``, other values as they are."""
    if key != STATE:
        return value
    if not isinstance(value, dict) or set(value) != {MEMORY}:
        raise unfit('state is {"memory": [..]}, as the answer before gave it')
    return value[MEMORY]


def _array(wanted: Wanted, value: Any) -> NDArray[Any]:
    """Return a value as an array of the kind wanted."""
    kind = {"b": "b", "i": "i"}.get(wanted.dtype.kind, "f")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise unfit(f"{wanted.key} is ragged: expected shape {wanted.words}, or [N, ..] of it") from error
    if array.size and array.dtype.kind not in {"b": "b", "i": "i", "f": "iuf"}[kind]:
        raise unfit(f"{wanted.key} holds values that are not {_KINDS[kind]}; expected {wanted.dtype}")
    return array


def _checked(wanted: Wanted, array: NDArray[Any], rows: int, batch: bool) -> NDArray[Any]:
    """Return an input [N, ..] of the model's dtype, from an array with a batch axis or without."""
    expanded = array if batch else array[None]
    sizes = expanded.shape[1:]
    fits = len(sizes) == len(wanted.shape) and all(
        size == asked or asked is None for size, asked in zip(sizes, wanted.shape, strict=True)
    )
    if not fits or len(expanded) != rows or not expanded.size:
        raise unfit(_shape_message(wanted, array, rows if batch else None))
    if not np.isfinite(expanded).all():
        raise unfit(f"{wanted.key} holds numbers that are not finite")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit the dtype is refused below
        values = expanded.astype(wanted.dtype)
    if not np.isfinite(values).all() or (wanted.dtype.kind == "i" and (values != expanded).any()):
        raise unfit(f"{wanted.key} holds numbers beyond {wanted.dtype}")
    _check_bounds(wanted, values)
    return values


def _check_bounds(wanted: Wanted, values: NDArray[Any]) -> None:
    low, high = _bounds(wanted, values.shape[1:])
    outside = (values < low) | (values > high)
    if wanted.start is not None:
        outside &= (values != wanted.start).reshape(len(values), -1).any(axis=1).reshape(-1, *(1,) * (values.ndim - 1))
    if not outside.any():
        return
    row, *place = np.argwhere(outside)[0].tolist()
    least, most = (np.broadcast_to(bound, values.shape[1:])[tuple(place)] for bound in (low, high))
    where = f"[{', '.join(map(str, place))}]" if place else ""
    raise unfit(
        f"{wanted.key}{where} is {values[(row, *place)]} in row {row}, outside its space's bounds [{least}, {most}]"
    )


def _bounds(wanted: Wanted, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the least and the greatest values of one row, broadcastable to its shape."""
    match wanted.space:
        case spaces.Box() as box:
            if None in wanted.shape and shape[0] > box.shape[0]:
                raise unfit(f"{wanted.key} has {shape[0]} entities; the policy was made for at most {box.shape[0]}")
            return (box.low[: shape[0]], box.high[: shape[0]]) if shape else (box.low, box.high)
        case spaces.Discrete() as choice:
            return int(choice.start), int(choice.start) + int(choice.n) - 1
        case spaces.MultiBinary():
            return 0, 1
    return -np.inf, np.inf


def _shape_message(wanted: Wanted, array: NDArray[Any], rows: int | None = None) -> str:
    batch = "N" if rows is None else str(rows)
    inner = wanted.words[1:-1]
    return (
        f"{wanted.key} has the shape {list(array.shape)}; expected {wanted.words}, or "
        f"[{batch}{', ' if inner else ''}{inner}] for a batch"
    )
