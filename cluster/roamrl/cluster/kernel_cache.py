"""Compiled kernels that jobs share, though each job's code lies in a folder of its own.

Numba keeps compiled functions by the path of their source. Ray installs a job's wheel below its session's folder, under
the wheel's name, so every new session and every change anywhere in the code would compile all kernels anew. Here they
are kept by the content of the folder that their source lies in.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from numba.core.caching import UserProvidedCacheLocator

CACHE_DIR = "NUMBA_CACHE_DIR"
_LOCATORS = "NUMBA_CACHE_LOCATOR_CLASSES"
_DEFAULT = "${HOME}/.cache/roamrl/numba"


class ContentCacheLocator(UserProvidedCacheLocator):
    """Finds the compiled functions of a source file by what its folder holds, wherever that folder is."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """Return the folder below ``NUMBA_CACHE_DIR``: the source folder's name and the hash of its Python files."""
        return _subpath(os.path.dirname(os.path.abspath(py_file)))


def kernel_cache_variables() -> dict[str, str]:
    """Return the variables under which a job's processes share compiled kernels on each node.

    The folder is that of ``NUMBA_CACHE_DIR`` here if it is set, else ``~/.cache/roamrl/numba`` of whoever runs the node
    (Ray puts the node's own ``HOME`` in). Where it cannot be written Numba's own places follow.
    """
    own = f"{ContentCacheLocator.__module__}.{ContentCacheLocator.__qualname__}"
    return {
        CACHE_DIR: os.environ.get(CACHE_DIR) or _DEFAULT,
        _LOCATORS: f"{own},InTreeCacheLocator,UserWideCacheLocator",
    }


@cache
def _subpath(folder: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{Path(folder).name}_{digest.hexdigest()[:32]}"
