"""What a node tells of itself.

These functions are sent to nodes as code, for nodes that have no RoamRL: they use the standard library alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def node_facts(packages: Sequence[str], cache: str, temp_dir: str | None = None) -> dict[str, Any]:
    """Return a node's host, Python, package versions, disks and whether its kernel cache takes files.

    Args:
        packages: Distributions whose versions are asked for; None stands for one that is not installed.
        cache: Folder of compiled kernels; variables in it are the node's.
        temp_dir: Folder of Ray's session; None for that of the Ray process this runs in.
    """
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    disk = shutil.disk_usage(temp_dir or _session_folder())
    folder = os.path.expanduser(os.path.expandvars(cache))
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "versions": versions,
        "disk_used": 1.0 - disk.free / disk.total,
        "disk_free": disk.free,
        "cache": folder,
        "cache_error": _write_error(folder),
    }


def leave_mark(folder: str, name: str, text: str) -> str | None:
    """Write a small file that other nodes look for; return what went wrong, None if nothing."""
    try:
        place = Path(os.path.expanduser(folder))
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    except OSError as error:
        return str(error)
    return None


def see_mark(folder: str, name: str, text: str) -> bool:
    """Say whether another node's file is seen, with what it wrote."""
    try:
        return (Path(os.path.expanduser(folder)) / name).read_text(encoding="utf-8") == text
    except OSError:
        return False


def remove_mark(folder: str, name: str) -> None:
    """Take the file away."""
    (Path(os.path.expanduser(folder)) / name).unlink(missing_ok=True)


def _session_folder() -> str:
    import ray._private.worker as worker

    node = worker._global_node
    return str(node.get_temp_dir_path()) if node is not None else tempfile.gettempdir()


def _write_error(folder: str) -> str | None:
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return str(error)
    return None
