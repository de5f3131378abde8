"""Places a store can be, as people write them: a folder's path, ``file:///folder``, ``s3://bucket/prefix``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from roamrl.platform.store.errors import StoreError

if TYPE_CHECKING:
    from roamrl.platform.store.backend import Backend

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PREFIX_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")


@dataclass(frozen=True)
class S3Location:
    """A bucket, and the prefix of a store's keys in it (empty: the whole bucket)."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


Location = Path | S3Location


def parse_location(where: str | Path) -> Location:
    """Return the place that a path or URL names; a relative folder is one in the working directory.

    Raises:
        StoreError: If it is no folder, ``file:///absolute/path`` or ``s3://bucket/prefix``.
    """
    text = str(where)
    if not text or "\0" in text:
        raise StoreError(f"{text!r} is no place for a store; give a folder or s3://bucket/prefix")
    if "://" not in text:
        return Path(text).expanduser().absolute()
    url = urlsplit(text)
    if url.scheme == "s3" and not url.query and not url.fragment:
        return _s3_location(text, url.netloc, url.path)
    if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path.startswith("/"):
        raise StoreError(
            f"{text!r} is no place for a store; give a folder, as a path or file:///absolute/path, or s3://bucket/prefix"
        )
    return Path(unquote(url.path))


def backend_at(where: str | Path) -> Backend:
    """Return the backend of the place that a path or URL names.

    Raises:
        StoreError: If it names no place, or what it takes to reach it is missing.
    """
    location = parse_location(where)
    if isinstance(location, Path):
        from roamrl.platform.store.folder import FolderBackend

        return FolderBackend(location)
    from roamrl.platform.store.objects import ObjectBackend

    return ObjectBackend(location)


def _s3_location(text: str, bucket: str, path: str) -> S3Location:
    prefix = path.removeprefix("/").rstrip("/")
    parts = prefix.split("/") if prefix else []
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(f"{text!r} is no place for a store: {bucket!r} is no bucket's name; give s3://bucket/prefix")
    if not all(_PREFIX_PART.fullmatch(part) for part in parts):
        raise StoreError(
            f"{text!r} is no place for a store: a prefix is made of names of letters, digits, '.', '_', '=', '-' with "
            "'/' between them"
        )
    return S3Location(bucket, prefix)
