"""Trusted keys: a person's file of public keys, with a name for each."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import build_record
from roamrl.platform.store.signing import PublicKey, read_small_file

TRUSTED_KEYS = "ROAMRL_TRUSTED_KEYS"
"""Environment variable: the file of trusted keys; ``~/.config/roamrl/trusted_keys.json`` unless set."""

_WHAT = "file of trusted keys"
_FOREIGN_RIGHTS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class TrustedKey:
    """A public key and the name of whoever holds its private half."""

    name: str
    key: PublicKey


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$")]
    public_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["roamrl-trusted-keys-v1"] = "roamrl-trusted-keys-v1"
    keys: tuple[_Row, ...]


def trusted_keys_file() -> Path:
    """Return the file of trusted keys of this user."""
    given = os.environ.get(TRUSTED_KEYS)
    return Path(given).expanduser() if given else Path.home() / ".config" / "roamrl" / "trusted_keys.json"


def trusted_keys(*, must_exist: bool = False) -> tuple[TrustedKey, ...]:
    """Return the keys that this user trusts, in the order in which they were added; none if there is no file.

    Args:
        must_exist: Whether a file that ``ROAMRL_TRUSTED_KEYS`` names has to be there: a slip in the name would
            otherwise trust nobody, and so check nothing.

    Raises:
        StoreError: If the file cannot be read, is none of trusted keys, or other users may write it.
    """
    path = trusted_keys_file()
    if not path.exists():
        if must_exist and os.environ.get(TRUSTED_KEYS):
            raise StoreError(
                f"{TRUSTED_KEYS} names {path}, which is not there; add a key with `roamrl store trust add`, or unset it"
            )
        return ()
    limits = Limits()
    value = read_json(read_small_file(path, _WHAT, _FOREIGN_RIGHTS, limits.manifest_bytes), f"{_WHAT} {path}", limits)
    if not isinstance(value, dict):
        raise StoreError(f"{path} is no {_WHAT}; remove it and add keys with `roamrl store trust add`")
    rows = build_record(_File, value, f"{_WHAT} {path}").keys
    found = tuple(TrustedKey(row.name, PublicKey(bytes.fromhex(row.public_key))) for row in rows)
    if len({row.name for row in rows}) < len(rows) or len({row.public_key for row in rows}) < len(rows):
        raise StoreError(f"{_WHAT} {path}: a name or a key stands there twice; remove one of them")
    return found


def trust(name: str, key: PublicKey) -> bool:
    """Add a key under a name; say whether it was not there before.

    Raises:
        StoreError: If the name cannot be one or is another key's, the key has another name, or the file cannot be
            written.
    """
    build_record(_Row, {"name": name, "public_key": key.raw.hex()}, "a trusted key")
    with _alone():
        known = trusted_keys()
        for other in known:
            if other == TrustedKey(name, key):
                return False
            if other.name == name:
                raise StoreError(f"{name!r} is the name of key {other.key.short}; choose another, or remove that first")
            if other.key == key:
                raise StoreError(f"key {key.short} is trusted as {other.name!r}; remove that first to rename it")
        _write((*known, TrustedKey(name, key)))
    return True


def distrust(reference: str) -> TrustedKey:
    """Remove the key with a name, or whose id begins so (eight digits or more), and return it.

    Raises:
        StoreError: If there is none, several begin so, or the file cannot be written.
    """
    with _alone():
        known = trusted_keys()
        named = [each for each in known if each.name == reference]
        begun = [each for each in known if len(reference) >= 8 and each.key.id.startswith(reference)]
        matches = named or begun
        if len(matches) != 1:
            names = ", ".join(each.name for each in known) or "none"
            raise StoreError(f"{len(matches)} trusted keys are {reference[:80]!r}; trusted: {names}")
        _write(tuple(each for each in known if each != matches[0]))
    return matches[0]


def _write(keys: tuple[TrustedKey, ...]) -> None:
    """Replace the file in one step by one that its owner alone can read."""
    rows = tuple(_Row(name=each.name, public_key=each.key.raw.hex()) for each in keys)
    path = trusted_keys_file()
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with _writing(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(_File(keys=rows).model_dump(), indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes from changing the file meanwhile."""
    path = trusted_keys_file()
    with contextlib.ExitStack() as held:
        with _writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = held.enter_context(open(path.with_name(f".{path.name}.lock"), "wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write the {_WHAT} {path}: {error.strerror}; name one you may write with {TRUSTED_KEYS}"
        ) from error
