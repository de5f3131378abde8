"""Gymnasium spaces as plain JSON, both ways: a closed list, so that reading a space runs nobody's code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from roamrl.envs.errors import InputError, unknown_name

LARGEST_SPACE = 1 << 20
"""Most numbers a space read from JSON may have, nested spaces included."""
DEEPEST_NESTING = 4
SPACE_TYPES = ("Box", "Dict", "Discrete", "MultiBinary", "MultiDiscrete", "Tuple")
_MOST_AXES = 8
_BOX_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a space as JSON values.

    Infinite bounds become the texts ``"inf"`` and ``"-inf"``; bounds that are the same everywhere, one number.

    Raises:
        InputError: If the space is none of Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple.
    """
    match space:
        case spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "n": list(space.shape)}
        case spaces.Box():
            return {
                "type": "Box",
                "shape": list(space.shape),
                "dtype": str(space.dtype),
                "low": _bound_to_json(space.low),
                "high": _bound_to_json(space.high),
            }
        case spaces.Dict():
            return {"type": "Dict", "spaces": {name: space_to_json(part) for name, part in space.spaces.items()}}
        case spaces.Tuple():
            return {"type": "Tuple", "spaces": [space_to_json(part) for part in space.spaces]}
    raise InputError(f"the space {space!r} has no JSON form; known: {', '.join(SPACE_TYPES)}")


def space_from_json(value: Mapping[str, Any]) -> spaces.Space[Any]:
    """Build a space from :func:`space_to_json`'s form.

    Raises:
        InputError: If the form is not one the codec writes, or the space is too large or nested too deep.
    """
    return _Reader().read(value, 0)


class _Reader:
    """Reads one space, nested ones included, within the limits of all of them together."""

    def __init__(self) -> None:
        self.numbers_left = LARGEST_SPACE

    def read(self, value: Mapping[str, Any], depth: int) -> spaces.Space[Any]:
        if depth > DEEPEST_NESTING:
            raise InputError(f"a space is nested deeper than {DEEPEST_NESTING}")
        if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
            raise InputError(f"not a space: {str(value)[:200]}; expected an object with a 'type'")
        kind = value["type"]
        if kind not in SPACE_TYPES:
            raise unknown_name("space", kind, SPACE_TYPES)
        try:
            return self._known(kind, value, depth)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
            raise InputError(f"not a {kind} space: {str(value)[:200]} ({type(error).__name__}: {error})") from error

    def _known(self, kind: str, value: Mapping[str, Any], depth: int) -> spaces.Space[Any]:
        match kind:
            case "Discrete":
                return spaces.Discrete(_size(value["n"]), start=_integer(value["start"]))
            case "MultiDiscrete":
                return self._multi_discrete(value)
            case "MultiBinary":
                shape = self._shape(value["n"])
                return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
            case "Box":
                return self._box(value)
            case "Dict":
                parts = value["spaces"].items()
                return spaces.Dict({str(name): self.read(part, depth + 1) for name, part in parts})
        return spaces.Tuple([self.read(part, depth + 1) for part in value["spaces"]])

    def _multi_discrete(self, value: Mapping[str, Any]) -> spaces.Space[Any]:
        nvec, start = np.asarray(value["nvec"]), np.asarray(value["start"])
        if nvec.dtype.kind != "i" or start.dtype.kind != "i" or nvec.max() > LARGEST_SPACE:
            raise InputError("a MultiDiscrete space needs whole numbers within the limits")
        self._shape(nvec.shape)
        return spaces.MultiDiscrete(nvec, start=start)

    def _box(self, value: Mapping[str, Any]) -> spaces.Space[Any]:
        shape = self._shape(value["shape"])
        dtype = value["dtype"]
        if dtype not in _BOX_DTYPES:
            raise unknown_name("dtype", str(dtype), _BOX_DTYPES)
        low, high = (_bound_from_json(value[side], shape, dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, np.dtype(dtype).type)

    def _shape(self, value: Sequence[Any]) -> tuple[int, ...]:
        shape = tuple(_size(size) for size in value)
        self.numbers_left -= math.prod(shape)
        if len(shape) > _MOST_AXES or self.numbers_left < 0:
            raise InputError(f"a space may have {_MOST_AXES} axes and {LARGEST_SPACE} numbers in all, got {shape}")
        return shape


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"expected a whole number, got {value!r}")
    return value


def _size(value: Any) -> int:
    size = _integer(value)
    if not 0 < size <= LARGEST_SPACE:
        raise InputError(f"a space's size must lie within 1..{LARGEST_SPACE}, got {size}")
    return size


def _number_to_json(value: float | int) -> float | int | str:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _bound_to_json(bound: np.ndarray) -> Any:
    numbers = [_number_to_json(number) for number in bound.reshape(-1).tolist()]
    return numbers[0] if numbers and all(number == numbers[0] for number in numbers) else numbers


def _bound_from_json(value: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    numbers = value if isinstance(value, list) else [value] * math.prod(shape)
    plain = [_INFINITIES[number] if isinstance(number, str) else number for number in numbers]
    if any(isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number) for number in plain):
        raise InputError(f"a Box's bounds must be numbers, 'inf' or '-inf', got {str(value)[:100]}")
    return np.array(plain, dtype).reshape(shape)
