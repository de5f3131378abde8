"""Where a store's bytes lie: the protocol that a folder and an object store keep."""

from __future__ import annotations

from typing import Protocol


class Backend(Protocol):
    """Named immutable objects with atomic creation.

    Keys are relative, with ``/`` between plain components. A reader sees an object whole or not at all. Every call
    raises :class:`StoreUnavailableError` where the storage does not answer, and every call that writes
    :class:`StoreReadOnlyError` where it takes no writes.
    """

    @property
    def location(self) -> str:
        """Say where it is, in the form that opens it again."""

    @property
    def remote(self) -> bool:
        """Whether a call takes a network's round trip, so that bytes are worth keeping on the node."""

    def prepare(self) -> None:
        """Make the place ready for a new store.

        Raises:
            StoreError: If it holds other things, or cannot be written.
        """

    def get(self, key: str, most: int) -> bytes | None:
        """Return an object's bytes, or None if there is none.

        Raises:
            StoreError: If it holds more than ``most`` bytes or cannot be read.
        """

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, or None if there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object whether it exists or not; only for keys that name their content."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one of that key exists; say whether what is there is this call's."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that ends in ``/``, sorted."""

    def modified(self, prefix: str) -> dict[str, float]:
        """Return, by key below a prefix, when the object was last written, in seconds of the store's own clock."""

    def now(self) -> float:
        """Return the time of the store's own clock in seconds; needs the right to write."""
