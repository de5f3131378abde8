"""The wheel of the code that runs here, for the nodes that are to run it.

It is written from the packages as they are installed, whether in place (``pip install -e``) or as copies, so a job runs
what a local run would. It names no dependencies: Ray installs a wheel of ``py_modules`` with ``pip install --target``,
which would fetch every one of them again beside those that the nodes have (``roamrl doctor`` compares those).
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from roamrl.cluster.errors import ClusterError

_NO_SOURCES = {"__pycache__"}
_COMPILED = {".pyc", ".pyo", ".nbi", ".nbc"}
_UNCHANGING = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: roamrl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_cache() -> Path:
    """Return the folder that keeps wheels: ``roamrl/wheels`` of the user's cache (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roamrl" / "wheels"


def job_wheel(name: str = "roamrl", folder: Path | None = None) -> Path:
    """Return a wheel of an installed distribution's packages, made unless one of the same content is there.

    Its version is the distribution's with the hash of its content, so what it leaves behind says which code ran.

    Args:
        name: Distribution and its one import package.
        folder: Where wheels are kept; None for :func:`wheel_cache`.

    Raises:
        ClusterError: If the distribution is not installed or the wheel cannot be written.
    """
    try:
        installed = distribution(name)
    except PackageNotFoundError as error:
        raise ClusterError(f"{name} is imported but not installed; `pip install -e .` in its folder") from error
    files = _package_files(name)
    version = f"{installed.version.partition('+')[0]}+{_digest(files, installed)}"
    place = folder or wheel_cache()
    wheel = place / f"{name}-{version}-py3-none-any.whl"
    if wheel.is_file():
        return wheel
    info = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": _metadata(installed, version),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": _entry_points(installed),
    }
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    draft = place / f".{wheel.name}-{os.getpid()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        _write(draft, contents)
        draft.replace(wheel)
    except OSError as error:
        if place.is_dir():
            draft.unlink(missing_ok=True)
        raise ClusterError(f"cannot write the wheel for jobs to {place}: {error.strerror}; make it writable") from error
    return wheel


def _package_files(name: str) -> dict[str, bytes]:
    """Return the files of a package, or of all packages of a namespace, by their place in a wheel."""
    found: dict[str, bytes] = {}
    for root in import_module(name).__path__:
        for path in sorted(Path(root).rglob("*")):
            inner = path.relative_to(root)
            if path.is_file() and not _NO_SOURCES & set(inner.parts) and path.suffix not in _COMPILED:
                found.setdefault(f"{name}/{inner.as_posix()}", path.read_bytes())
    return found


def _digest(files: Mapping[str, bytes], installed: Distribution) -> str:
    digest = hashlib.sha256()
    described = {"METADATA": _metadata(installed, ""), "entry_points.txt": _entry_points(installed)}
    for place, content in sorted({**files, **described}.items()):
        digest.update(f"{place}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _metadata(installed: Distribution, version: str) -> bytes:
    """Return what is said of the distribution, under another version and without what it depends on."""
    head, blank, description = (installed.read_text("METADATA") or "").partition("\n\n")
    dropped = ("Requires-Dist:", "Provides-Extra:", "Version:")
    lines = [line for line in head.splitlines() if not line.startswith(dropped)]
    return ("\n".join([*lines, f"Version: {version}"]) + blank + description).encode()


def _entry_points(installed: Distribution) -> bytes:
    return (installed.read_text("entry_points.txt") or "").encode()


def _record(contents: Mapping[str, bytes], itself: str) -> bytes:
    lines = []
    for place, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{place},sha256={digest},{len(content)}")
    return ("\n".join([*lines, f"{itself},,"]) + "\n").encode()


def _write(file: Path, contents: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in contents.items():
            entry = zipfile.ZipInfo(place, _UNCHANGING)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
