"""Detached signatures of entries: one file an entry and key, beside the entries.

A signature is Ed25519 (RFC 8032) over the manifest's canonical JSON, whose sha256 is the entry's id and which holds the
digest of the weights. Its file is canonical JSON, too, so that an entry and a key have one valid file.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from roamrl.envs.canonical import canonical_json
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.entry import Entry, manifest_id
from roamrl.platform.store.errors import StoreError, StoreUnavailableError
from roamrl.platform.store.layout import SIGNATURES, check_id, is_key_id, signature_key
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import Digest, build_record
from roamrl.platform.store.requests import for_each
from roamrl.platform.store.signing import PublicKey, Signer


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["roamrl-signature-v1"] = "roamrl-signature-v1"
    public_key: Digest
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Signature:
    """A signature as it was found.

    Attributes:
        key_id: Id of the key it claims to be by.
        data: Its file.
        problem: Why it is not valid; empty if it is.
    """

    key_id: str
    data: bytes = b""
    problem: str = ""

    @property
    def valid(self) -> bool:
        """Whether the holder of the key signed this entry."""
        return not self.problem


def encode_signature(signer: Signer, content: bytes) -> bytes:
    """Return the file of a signature over a manifest in canonical form."""
    made = _Document(public_key=signer.key.raw.hex(), signature=signer.sign(content).hex())
    return canonical_json(made.model_dump())


def check_signature(data: bytes, key_id: str, content: bytes, limits: Limits) -> PublicKey:
    """Check a signature's file, and return the key that signed.

    Args:
        data: The file.
        key_id: The id under which it lies.
        content: The manifest's canonical JSON.
        limits: Bounds on what is read.

    Raises:
        StoreError: If it is no signature's file, is another key's, or does not belong to this manifest.
    """
    what = f"the signature by key {key_id[:16]}"
    value = read_json(data, what, limits)
    if not isinstance(value, dict):
        raise StoreError(f"{what} is no map; sign the expert anew")
    document = build_record(_Document, value, what)
    key = PublicKey(bytes.fromhex(document.public_key))
    if key.id != key_id:
        raise StoreError(f"{what} holds another key, {key.short}; remove it and sign the expert anew")
    if canonical_json(document.model_dump()) != data:
        raise StoreError(f"{what} is not in canonical form; remove it and sign the expert anew")
    if not key.verifies(bytes.fromhex(document.signature), content):
        raise StoreError(f"{what} is not of this expert's manifest; remove it and sign the expert anew")
    return key


def signed_content(entry: Entry) -> bytes:
    """Return what is signed of an entry: its manifest's canonical JSON.

    Raises:
        StoreError: If the entry was not written in canonical form.
    """
    content = entry.manifest.to_bytes()
    if manifest_id(content) != entry.id:
        raise _not_canonical(entry)
    return content


def _not_canonical(entry: Entry) -> StoreError:
    return StoreError(f"entry {entry.short} is not in canonical form and cannot be signed; publish the expert anew")


def signing_keys(backend: Backend, entry_id: str) -> list[str]:
    """Return the ids of the keys under which an entry has signatures, valid or not."""
    prefix = f"{SIGNATURES}{check_id(entry_id)}/"
    names = [key.removeprefix(prefix).removesuffix(".json") for key in backend.list(prefix) if key.endswith(".json")]
    return [name for name in names if is_key_id(name)]


def read_signatures(backend: Backend, entry: Entry, limits: Limits, keys: Collection[str]) -> list[Signature]:
    """Read and check an entry's signatures by some keys, those that are there.

    An entry that was not written in canonical form has no valid signature.

    Raises:
        StoreUnavailableError: If the store does not answer.
    """
    if not keys:
        return []
    content = entry.manifest.to_bytes()
    canonical = manifest_id(content) == entry.id

    def read(key_id: str) -> Signature | None:
        data = b""
        try:
            found = backend.get(signature_key(entry.id, key_id), limits.signature_bytes)
            if found is None:
                return None
            data = found
            check_signature(data, key_id, content, limits)
            if not canonical:
                raise _not_canonical(entry)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            return Signature(key_id, data, str(error))
        return Signature(key_id, data)

    return [found for found in for_each(backend, read, sorted(keys)) if found is not None]


def write_signature(backend: Backend, entry_id: str, key_id: str, data: bytes) -> bool:
    """Keep an entry's signature, which must be valid; say whether it was not there before.

    Whatever else lies in its place is no signature of this entry by this key, and is replaced.

    Raises:
        StoreError: If the key's id cannot name a file, or the store cannot be written.
    """
    key = signature_key(entry_id, key_id)
    if backend.size(key) == len(data) and backend.get(key, len(data)) == data:
        return False
    backend.put(key, data)
    return True
