"""The errors of the expert store."""

from __future__ import annotations

from roamrl.envs.errors import InputError


class StoreError(InputError):
    """The store, or something given to it, cannot be used as it is; the message says how to mend it."""


class SignatureError(StoreError):
    """An expert has no signature by a trusted key, and the signature policy is ``enforce``."""


class StoreUnavailableError(StoreError):
    """The store does not answer now: its host, network or file system is away."""


class StoreReadOnlyError(StoreError):
    """The store takes no writes now: it is read-only for this user, or full."""
