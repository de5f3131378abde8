"""Limits on what the store accepts from a file, and JSON read within them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from roamrl.platform.store.errors import StoreError

LARGEST_INTEGER = 2**53 - 1
"""Beyond it, canonical JSON (RFC 8785) cannot tell integers apart."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Limits:
    """Bounds that hold at publishing and at reading, so that no file can exhaust a reader.

    Attributes:
        manifest_bytes: Size of a JSON document: an entry's file (manifest and envelope), a safetensors header.
        json_depth: Nesting of lists and maps in a JSON document.
        tensors: Tensors a policy has.
        tensor_dims: Dimensions a tensor has.
        tensor_name: Characters of a tensor's name.
        blob_bytes: Size of a policy's tensors in all.
        index_bytes: Size of an index snapshot.
        signature_bytes: Size of a signature's file.
    """

    manifest_bytes: int = 1_000_000
    json_depth: int = 32
    tensors: int = 4096
    tensor_dims: int = 8
    tensor_name: int = 256
    blob_bytes: int = 1 << 30
    index_bytes: int = 4 << 30
    signature_bytes: int = 1024


def read_json(data: bytes, what: str, limits: Limits) -> Any:
    """Parse a JSON document of bounded size and depth that holds only what canonical JSON can.

    Args:
        data: The document, UTF-8.
        what: What it is, for messages.
        limits: Bounds on size and depth.

    Raises:
        StoreError: If it is too large or too deep, no JSON, or holds NaN, an infinity, half a surrogate pair, or a name
            twice in one map, of which readers may take either.
    """
    if len(data) > limits.manifest_bytes:
        raise StoreError(f"{what} has {len(data)} bytes; at most {limits.manifest_bytes} are accepted; shorten it")
    try:
        text = data.decode("utf-8")
        if _SURROGATE.search(text):
            raise ValueError("characters beyond 16 bits must be written out, not escaped")
        value = json.loads(
            text,
            object_pairs_hook=_map,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except RecursionError as error:
        raise _too_deep(what, limits) from error
    except ValueError as error:
        raise StoreError(f"{what} is not the JSON it should be ({error}); publish it anew") from error
    _check_depth(value, what, limits)
    return value


def _check_depth(value: Any, what: str, limits: Limits) -> None:
    level: list[Any] = [[value]]
    for _ in range(limits.json_depth + 1):
        level = [
            inner.values() if type(inner) is dict else inner
            for outer in level
            for inner in outer
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise _too_deep(what, limits)


def _too_deep(what: str, limits: Limits) -> StoreError:
    return StoreError(f"{what} is nested more than {limits.json_depth} levels deep; flatten it")


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise ValueError(f"the name {twice[:40]!r} stands twice in a map")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(text: str) -> int | float:
    """Read an integer; one beyond 2**53 is a float, whose canonical form has no point below 1e21."""
    if len(text) < 16:
        return int(text)
    value = float(text)
    return int(text) if abs(value) <= LARGEST_INTEGER else _number(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not finite")
    return value
