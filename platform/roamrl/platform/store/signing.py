"""Signing keys (Ed25519): making them, reading them, signing and verifying with them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from roamrl.platform.store.errors import StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNING_KEY = "ROAMRL_SIGNING_KEY"
"""Environment variable: file of the private key that signs what is published; nothing is signed unless set."""

_MOST_BYTES = 16_384
_FOREIGN_RIGHTS = stat.S_IWGRP | stat.S_IRWXO
_RAW_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PublicKey:
    """A public Ed25519 key (RFC 8032).

    Attributes:
        raw: Its 32 bytes.
    """

    raw: bytes

    @property
    def id(self) -> str:
        """The sha256 of its bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def short(self) -> str:
        """The id's first sixteen digits, for people."""
        return self.id[:16]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether a signature of a message was made with this key's private half."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def pem(self) -> bytes:
        """Return it as PEM (SubjectPublicKeyInfo), as ``openssl`` reads it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Signer:
    """A private key at work. It stays in its process: it cannot be pickled, and is shown by its public half alone.

    Attributes:
        key: The public half.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = PublicKey(private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes; the same message gives the same bytes (RFC 8032, sec. 5.1)."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.key.short})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its process; sign where the key's file is")


def generate_key(path: Path) -> PublicKey:
    """Make a key: the private half in a new file that its owner alone can read, the public half in ``PATH.pub``.

    Raises:
        StoreError: If one of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    key = PublicKey(private.public_key().public_bytes_raw())
    public = public_file(path)
    if public.exists():
        raise StoreError(f"{public} exists and is not replaced; name another file with --out")
    _write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        _write_new(public, key.pem(), 0o644)
    except StoreError:
        path.unlink()
        raise
    return key


def public_file(path: Path) -> Path:
    """Return the file in which :func:`generate_key` puts the public half of a private key's file."""
    return path.with_name(f"{path.name}.pub")


def read_signer(path: Path) -> Signer:
    """Read a private key (PEM, PKCS 8, not encrypted).

    Raises:
        StoreError: If the file cannot be read, holds something else, or is open to other users.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_small_file(path, "private key", _FOREIGN_RIGHTS)
    try:
        private = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise StoreError(f"the private key {path} is encrypted; give one that is not, guarded by its rights") from error
    except (ValueError, UnsupportedAlgorithm) as error:  # whose message may quote the file, which must not be shown
        raise StoreError(f"{path} holds no private key; make one with `roamrl store keygen`") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise StoreError(f"{path} holds a private key of another kind; make an Ed25519 key with `roamrl store keygen`")
    return Signer(private)


def signer_of_environment() -> Signer | None:
    """Return the signer that ``ROAMRL_SIGNING_KEY`` names, None if it is not set.

    Raises:
        StoreError: As :func:`read_signer`.
    """
    given = os.environ.get(SIGNING_KEY)
    return read_signer(Path(given).expanduser()) if given else None


def read_public_key(text: str) -> PublicKey:
    """Return the public key in a PEM file, or the one whose 64 hexadecimal digits are given.

    Raises:
        StoreError: If it is neither, or a private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if _RAW_KEY.fullmatch(text):
        return PublicKey(bytes.fromhex(text))
    path = Path(text).expanduser()
    data = read_small_file(path, "public key", 0)
    if b"PRIVATE KEY" in data:
        raise StoreError(f"{path} holds a private key, which is for its owner alone; give the file {path.name}.pub")
    try:
        public = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StoreError(f"{path} holds no public key; give the .pub file that `roamrl store keygen` made") from error
    if not isinstance(public, Ed25519PublicKey):
        raise StoreError(f"{path} holds a public key of another kind; experts are signed with Ed25519 keys")
    return PublicKey(public.public_bytes_raw())


def read_small_file(path: Path, what: str, refused_rights: int, most: int = _MOST_BYTES) -> bytes:
    """Return the bytes of a plain file whose permissions hold none of some bits.

    Raises:
        StoreError: If there is none, it is too large or no plain file, or others have those rights to it.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                raise StoreError(f"{path} is no plain file of at most {most} bytes, as a {what} is")
            if status.st_mode & refused_rights:
                raise StoreError(f"the {what} {path} is open to other users; run `chmod 600 {path}`")
            return file.read(most)
    except OSError as error:
        raise StoreError(f"cannot read the {what} {path}: {error.strerror}; check its name and rights") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist; none is left behind if that fails."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise StoreError(f"{path} exists and is not replaced; name another file with --out") from error
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name a file in a folder you may write") from error
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror}; make room, or name another file") from error
