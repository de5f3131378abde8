"""The error of the expert store."""

from __future__ import annotations

from roamrl.envs.errors import InputError


class StoreError(InputError):
    """The store, or something given to it, cannot be used as it is; the message says how to mend it."""
