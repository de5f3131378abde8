"""Packages that only some commands need: found, or missed with the name of the extra to install."""

from __future__ import annotations

from importlib.util import find_spec

from roamrl.envs.errors import InputError


def need_packages(extra: str, *names: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        extra: The extra of this distribution that brings them.
        names: Their import names, e.g. ``onnx`` or ``ray.serve``.

    Raises:
        InputError: If one is missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} is not installed; install it with: pip install 'roamrl[{extra}]'")
