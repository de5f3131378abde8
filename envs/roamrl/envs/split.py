"""Splits: named, versioned, hashed sets of tasks, kept in files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path

from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.task import Task


@dataclass(frozen=True)
class Split:
    """A named set of tasks of one family config.

    Attributes:
        name: ``train``, ``val``, ``iid``, ``ood-<variable>``, ``ood-all`` or a name of the user's own.
        version: Raised whenever the set changes.
        tasks: The tasks, in order.
    """

    name: str
    version: int
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError(f"split {self.name!r} holds no task; give it at least one")

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    @cached_property
    def hash(self) -> str:
        """The sha256 of name, version and task ids."""
        return content_hash({"name": self.name, "version": self.version, "tasks": [task.id for task in self.tasks]})


def write_splits(path: Path, splits: Mapping[str, Split], omitted: Mapping[str, int] | None = None) -> None:
    """Write splits that share one family config to a JSON file, each with its hash.

    Args:
        path: The file.
        splits: The splits by name.
        omitted: Number of candidate tasks left out of each split, for the record.
    """
    first = next(iter(splits.values())).tasks[0]
    document: dict[str, JSON] = {"family": first.family, "config": dict(first.config), "splits": {}}
    for name, split in splits.items():
        document["splits"][name] = {
            "version": split.version,
            "hash": split.hash,
            "omitted": (omitted or {}).get(name, 0),
            "contexts": [dict(task.context) for task in split.tasks],
        }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_splits(path: Path | Traversable) -> dict[str, Split]:
    """Read a file written by :func:`write_splits` and check every hash.

    Raises:
        InputError: If the file is no such document or a split does not have the hash it was written with.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        family, config, entries = document["family"], document["config"], document["splits"]
        splits = {
            name: Split(name, entry["version"], tuple(Task(family, config, c) for c in entry["contexts"]))
            for name, entry in entries.items()
        }
        expected = {name: entry["hash"] for name, entry in entries.items()}
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a split file: {error!r}; write one with write_splits") from error
    for name, split in splits.items():
        if split.hash != expected[name]:
            raise InputError(
                f"split {name!r} in {path} hashes to {split.hash[:12]}, the file says {str(expected[name])[:12]}: "
                "its tasks were changed; raise its version and write it anew"
            )
    return splits


def pick(splits: Mapping[str, Split], name: str) -> Split:
    """Return the split of that name, or the error that names the nearest one."""
    if name not in splits:
        raise unknown_name("split", name, splits)
    return splits[name]
