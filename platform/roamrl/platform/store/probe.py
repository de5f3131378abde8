"""What a storage can do: found out by doing it, each time anew, and kept by nobody but the caller."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.errors import StoreReadOnlyError
from roamrl.platform.store.layout import TEMPORARY

_FIRST, _SECOND = b"first", b"second"


@dataclass(frozen=True)
class ProbeResult:
    """What a storage can do.

    Attributes:
        location: Where it is.
        writable: Whether it takes writes; if not, nothing else was tried.
        put_if_absent: Whether a second creation of a key fails and leaves the first: what tags need.
        reads_back: Whether an object reads back as it was written.
        lists: Whether a listing right after a write shows the object.
        deletes: Whether a deleted object is gone.
        clock_ahead_s: Seconds by which the storage's clock is ahead of this machine's.
        reason: Why it is not writable.
    """

    location: str
    writable: bool
    put_if_absent: bool = False
    reads_back: bool = False
    lists: bool = False
    deletes: bool = False
    clock_ahead_s: float = 0.0
    reason: str = ""

    @property
    def publishing(self) -> bool:
        """Whether experts can be published: that needs no coordination among writers."""
        return self.writable and self.reads_back and self.lists

    @property
    def tags(self) -> bool:
        """Whether tags can be moved: of two who move one at once, both moves must be kept."""
        return self.publishing and self.put_if_absent

    def words(self) -> list[str]:
        """Return what it means, a line each, for people."""
        if not self.writable:
            return [f"read-only: {self.reason}"]
        lines = [f"publishing: {'yes' if self.publishing else 'no, it does not show what was written'}"]
        why = "yes" if self.tags else "no, the endpoint ignores If-None-Match, so that one move could undo another"
        return [*lines, f"tags: {why}", f"clock: {self.clock_ahead_s:+.1f} s to this machine's"]


def probe(backend: Backend) -> ProbeResult:
    """Create an object twice, read it back, list it, delete it, and say what the storage can do.

    Raises:
        StoreUnavailableError: If it does not answer.
        StoreError: If it is not there, or refuses even to be asked.
    """
    key = f"{TEMPORARY}probe-{uuid.uuid4().hex}"
    try:
        begun = time.time()
        ahead = backend.now() - (begun + time.time()) / 2
        created = backend.put_if_absent(key, _FIRST)
    except StoreReadOnlyError as error:
        return ProbeResult(backend.location, writable=False, reason=str(error))
    try:
        again = backend.put_if_absent(key, _SECOND)
        kept = backend.get(key, len(_SECOND))
        listed = key in backend.list(TEMPORARY)
    finally:
        backend.delete(key)
    return ProbeResult(
        backend.location,
        writable=True,
        put_if_absent=created and not again and kept == _FIRST,
        reads_back=kept == (_SECOND if again else _FIRST),
        lists=listed,
        deletes=backend.get(key, len(_SECOND)) is None,
        clock_ahead_s=ahead,
    )
