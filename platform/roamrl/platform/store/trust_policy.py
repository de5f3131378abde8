"""What an expert's signatures must be before its weights are used: ``off``, ``warn`` or ``enforce``."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from roamrl.envs.errors import unknown_name
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import SignatureError, StoreError, StoreUnavailableError
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.signatures import Signature, read_signatures, signing_keys
from roamrl.platform.store.signing import Signer
from roamrl.platform.store.trust import TrustedKey, trusted_keys

SIGNATURES_POLICY = "ROAMRL_SIGNATURES"
"""Environment variable: ``off``, ``warn`` or ``enforce``; unless set, ``warn`` if there are trusted keys."""

Mode = Literal["off", "warn", "enforce"]
_MODES: tuple[Mode, ...] = get_args(Mode)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """A signature, and what its key is to this user.

    Attributes:
        signature: The signature.
        name: The name of its key, None if the key is not trusted.
    """

    signature: Signature
    name: str | None

    @property
    def word(self) -> Literal["trusted", "untrusted", "invalid"]:
        """What it is worth; a signature that is not valid says nothing, whatever name it bears."""
        if not self.signature.valid:
            return "invalid"
        return "untrusted" if self.name is None else "trusted"


class TrustPolicy:
    """The keys that are trusted, what happens without a signature by one of them, and which experts passed.

    Attributes:
        mode: ``off`` looks at nothing, ``warn`` logs, ``enforce`` refuses.
        keys: Trusted keys.
    """

    def __init__(self, mode: Mode = "off", keys: Sequence[TrustedKey] = (), passed: Collection[str] = ()) -> None:
        self.mode = mode
        self.keys = tuple(keys)
        self._names = {each.key.id: each.name for each in self.keys}
        self._passed = set(passed)
        self._told: set[str] = set()

    @classmethod
    def of_user(cls, mode: str | None = None) -> TrustPolicy:
        """Return the policy that is given, or else that of ``ROAMRL_SIGNATURES``, with this user's trusted keys.

        Raises:
            StoreError: If there is no such policy, or the file of trusted keys cannot be used.
        """
        wanted = mode or os.environ.get(SIGNATURES_POLICY) or None
        if wanted is not None and wanted not in _MODES:
            raise StoreError(str(unknown_name("signature policy", wanted, _MODES)))
        keys = trusted_keys(must_exist=wanted != "off")
        chosen = next((each for each in _MODES if each == wanted), "warn" if keys else "off")
        return cls(chosen, keys)

    def check(self, backend: Backend, entry: Entry, limits: Limits) -> None:
        """Check, before an expert's weights are used, that a trusted key signed it.

        Raises:
            SignatureError: If none did, and the policy is ``enforce``.
            StoreUnavailableError: If the store does not answer, and the policy is ``enforce``.
        """
        if self.mode == "off" or entry.id in self._passed:
            return
        try:
            there = signing_keys(backend, entry.id)
            found = read_signatures(backend, entry, limits, self._names.keys() & set(there))
        except StoreUnavailableError as error:
            if self.mode == "enforce":
                raise
            _log.warning("the signatures of expert %s were not looked at: %s", entry.short, error)
            return
        if any(signature.valid for signature in found):
            self.pass_on(entry.id)
            return
        self._complain(entry, self.reason(entry, there, found))

    def admits(self, entry: Entry, found: Sequence[Signature]) -> bool:
        """Say whether an expert with these signatures may be taken into a store; log what is only warned of."""
        if self.mode == "off" or any(each.valid and each.key_id in self._names for each in found):
            return True
        try:
            self._complain(entry, self.reason(entry, [each.key_id for each in found], found))
        except SignatureError:
            return False
        return True

    def pass_on(self, entry_id: str) -> None:
        """Let an expert pass from now on: its id is that of something made, or checked, in this process."""
        self._passed.add(entry_id)

    def of_expert(self, entry_id: str) -> TrustPolicy:
        """Return the policy for one expert on its way to another process, which has passed there if it has here."""
        return TrustPolicy(self.mode, self.keys, self._passed & {entry_id})

    def standings(self, backend: Backend, entry: Entry, limits: Limits, there: Collection[str]) -> list[Standing]:
        """Return an entry's signatures by some keys with what they are worth here, those by trusted keys first.

        Raises:
            StoreUnavailableError: If the store does not answer.
        """
        found = read_signatures(backend, entry, limits, there)
        judged = [Standing(signature, self._names.get(signature.key_id)) for signature in found]
        return sorted(judged, key=lambda each: (each.name is None, each.name or "", each.signature.key_id))

    def check_signer(self, signer: Signer | None) -> None:
        """Check that what a run publishes can be loaded again under this policy, by a later run or a resumed one.

        Raises:
            StoreError: If the policy is ``enforce`` and the run does not sign with a trusted key.
        """
        if self.mode != "enforce" or (signer is not None and signer.key.id in self._names):
            return
        missing = "no key signs" if signer is None else f"key {signer.key.short}, which is not trusted, signs"
        raise StoreError(
            f"under the signature policy 'enforce' {missing} what this run publishes, so that nobody here could load "
            "it; set ROAMRL_SIGNING_KEY to a key that `roamrl store trust ls` lists"
        )

    def reason(self, entry: Entry, there: Collection[str], found: Sequence[Signature]) -> str:
        """Say why an entry without a valid signature by a trusted key does not pass."""
        broken = [f"the one by {self._names[each.key_id]} is not valid" for each in found if each.key_id in self._names]
        if broken:
            said = "; ".join(broken)
        elif there:
            said = f"signed by {', '.join(key_id[:16] for key_id in sorted(there)[:3])}, not trusted here"
        else:
            said = "not signed"
        trusted = "" if self._names else "; no key is trusted here"
        return (
            f"expert {entry.short} has no signature by a trusted key ({said}){trusted}; see `roamrl store show "
            f"{entry.short}` and `roamrl store trust add`"
        )

    def _complain(self, entry: Entry, reason: str) -> None:
        if self.mode == "enforce":
            raise SignatureError(reason)
        if entry.id not in self._told:
            self._told.add(entry.id)
            _log.warning("%s", reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return (TrustPolicy, (self.mode, self.keys, frozenset(self._passed)))
