"""How inner loops are compiled: cached on disk, without the interpreter's lock, and unable to allocate."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

Compiled = Callable[..., Any]

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
# _nrt: Numba's runtime (its allocator and reference counts) stays out. Counting references to the views that inner
# loops pass about took twice the time of everything else.


@cache
def sources_of(module: str) -> str:
    """Return a hash of all code that can end in a compiled function of a module: its folder's, and what all share."""
    here = Path(__file__).parent
    own = Path(str(sys.modules[module].__file__)).parent
    files = {here / f"{name}.py" for name in ("compiled", "elementary", "streams")}
    files |= {*here.glob("radio/*.py"), *(own.glob("*.py") if own != here else ())}
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def compiled(function: Compiled) -> Compiled:
    """Compile a function on arrays that live as long as the call; it may make views, never arrays."""
    return _keyed(njit(**_OPTIONS)(function))


def inlined(function: Compiled) -> Compiled:
    """Compile a small function into each of its callers."""
    return _keyed(njit(**_OPTIONS, inline="always")(function))


def _keyed(dispatcher: Any) -> Compiled:
    """Make cached code valid for these sources alone.

    Numba looks at a function's own file. A constant or a function from another file is compiled into it as well: change
    a column of ``lanes`` and the old one would go on being read.
    """
    index_key = dispatcher._cache._index_key
    sources = sources_of(dispatcher.py_func.__module__)
    dispatcher._cache._index_key = lambda signature, codegen: (*index_key(signature, codegen), sources)
    result: Compiled = dispatcher
    return result
