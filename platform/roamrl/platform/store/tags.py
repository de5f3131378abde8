"""Tags: movable names, a new file for every move."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict

from roamrl.envs.canonical import canonical_json
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import TAGS, check_tag
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import Digest, Envelope, build_record

_TAG_KEY = re.compile(r"tags/([^/]+)/(\d{8})\.json")
_ATTEMPTS = 100


class Tag(BaseModel):
    """One move of a tag: the entry it names from then on, and who moved it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry_id: Digest
    envelope: Envelope


def move_tag(backend: Backend, name: str, entry_id: str, envelope: Envelope) -> None:
    """Let a name stand for an entry from now on; of two who move it at once, both moves are kept in some order.

    Raises:
        StoreError: If the name cannot be a tag.
    """
    data = canonical_json(Tag(entry_id=entry_id, envelope=envelope).model_dump(mode="json"))
    for _ in range(_ATTEMPTS):
        latest = _moves(backend, f"{TAGS}{check_tag(name)}/").get(name, 0)
        if backend.put_if_absent(f"{TAGS}{name}/{latest + 1:08d}.json", data):
            return
    raise StoreError(f"tag {name!r} is moved by too many others at once; try again")


def read_tag(backend: Backend, name: str, limits: Limits) -> str | None:
    """Return the id of the entry a tag names, or None if there is no such tag.

    Raises:
        StoreError: If the name cannot be a tag, or its newest file is damaged.
    """
    latest = _moves(backend, f"{TAGS}{check_tag(name)}/").get(name)
    if latest is None:
        return None
    what = f"tag {name!r}"
    data = backend.get(f"{TAGS}{name}/{latest:08d}.json", limits.manifest_bytes)
    value = None if data is None else read_json(data, what, limits)
    if not isinstance(value, dict):
        raise StoreError(f"{what} is damaged; set it anew")
    return build_record(Tag, value, what).entry_id


def tag_names(backend: Backend) -> list[str]:
    """Return the names of all tags."""
    return sorted(_moves(backend, TAGS))


def _moves(backend: Backend, prefix: str) -> dict[str, int]:
    """Return the number of the newest move by tag name."""
    newest: dict[str, int] = {}
    for key in backend.list(prefix):
        if match := _TAG_KEY.fullmatch(key):
            newest[match[1]] = max(newest.get(match[1], 0), int(match[2]))
    return newest
