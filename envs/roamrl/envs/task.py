"""Tasks: one member of a family, frozen, hashable, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from roamrl.envs.canonical import JSON, content_hash, plain
from roamrl.envs.errors import InputError


@dataclass(frozen=True, eq=False)
class Task:
    """A family version, a full family config and one full context value.

    Make tasks with :meth:`roamrl.envs.family.Family.task`, which checks them and fills in defaults. Two tasks are
    equal if their ids are; traces take part by the hash of their content.

    Attributes:
        family: Versioned name, e.g. ``"slicing-v1"``.
        config: The family's full config.
        context: The full context.
    """

    family: str
    config: Mapping[str, JSON]
    context: Mapping[str, JSON]

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", MappingProxyType(plain(self.config)))
        object.__setattr__(self, "context", MappingProxyType(plain(self.context)))

    @cached_property
    def id(self) -> str:
        """The sha256 of the task's canonical JSON (RFC 8785), 64 hexadecimal digits."""
        return content_hash(self.to_json())

    @cached_property
    def config_hash(self) -> str:
        """The sha256 of the family and its config alone: tasks that share it share spaces."""
        return content_hash({"family": self.family, "config": self.config})

    def to_json(self) -> dict[str, JSON]:
        """Return the task as plain JSON values."""
        return {"family": self.family, "config": plain(self.config), "context": plain(self.context)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Task:
        """Build a task from :meth:`to_json`'s form, as it is (a family's ``task`` checks what people write).

        Raises:
            InputError: If a field is missing or unknown.
        """
        if set(value) != {"family", "config", "context"}:
            raise InputError(f"a task has the fields family, config and context; got {sorted(value)}")
        return cls(value["family"], value["config"], value["context"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[object, ...]:
        return (Task, (self.family, dict(self.config), dict(self.context)))
