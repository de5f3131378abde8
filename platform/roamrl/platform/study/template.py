"""A commented study to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError


def write_template(folder: Path) -> Path:
    """Write ``study.yaml`` into a folder, which is made if need be; return its path.

    Raises:
        InputError: If the folder has one already.
    """
    path = folder / "study.yaml"
    if path.exists():
        raise InputError(f"{path} exists already; choose another folder, or edit it")
    template = files("roamrl.platform") / "study" / "template.yaml"
    write_atomically(path, template.read_bytes())
    return path
