"""How inner loops are compiled: cached on disk, without the interpreter's lock, and unable to allocate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
# _nrt: Numba's runtime (its allocator and reference counts) stays out. Counting references to the views that inner
# loops pass about took twice the time of everything else.


def compiled(function: F) -> F:
    """Compile a function on arrays that live as long as the call; it may make views, never arrays."""
    result: F = njit(**_OPTIONS)(function)
    return result


def inlined(function: F) -> F:
    """Compile a small function into each of its callers."""
    result: F = njit(**_OPTIONS, inline="always")(function)
    return result
