"""Canonical JSON (RFC 8785) and the identities derived from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from roamrl.envs.errors import InputError

JSON = Any
"""A JSON value: None, bool, int, float, str, list or dict of such values."""


def plain(value: JSON) -> JSON:
    """Return a JSON value in one spelling: tuples as lists, whole floats kept as floats, mappings as dicts.

    Raises:
        InputError: If something in it has no JSON form.
    """
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise InputError(f"{value!r} ({type(value).__name__}) has no JSON form; give numbers, text, lists or maps")


def canonical_json(value: JSON) -> bytes:
    """Serialise a JSON value by RFC 8785; equal values give equal bytes (``1`` and ``1.0`` included).

    Raises:
        InputError: If it holds NaN, an infinity or something without a JSON form.
    """
    try:
        return rfc8785.dumps(plain(value))
    except rfc8785.CanonicalizationError as error:
        raise InputError(f"not canonical JSON: {error}; numbers must be finite") from error


def content_hash(value: JSON) -> str:
    """Return the sha256 (hexadecimal) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
