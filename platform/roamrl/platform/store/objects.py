"""A store in a bucket of an object store that speaks S3."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roamrl.platform.store.errors import StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.layout import FORMAT_KEY, TEMPORARY
from roamrl.platform.store.location import S3Location

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

CONNECT_S, SILENCE_S, REQUEST_S = 3, 20, 600
"""Seconds a request waits for a connection, for the next bytes of an answer, and in all."""

RETRIES, RETRY_S = 3, 10
"""How often a request is sent again, and for how many seconds at most."""

PART_BYTES = 8 << 20
"""Larger objects are sent in parts of this size, so that no request is long; they appear whole at the end."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LIST_CHUNK = 1000
_NO_SUCH_REST = re.compile(r"<Code>InvalidRange</Code>|Requested \d+\.\.\d+, got \d+\.\.\d+")
"""What comes of it when ``obstore`` asks for the rest of an answer that broke off: after its last byte, or while an
endpoint that does not replace objects in one step was writing the same content again."""

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for a public bucket)"
_METADATA_HOST = "169.254.169.254"


class _BrokenOffError(StoreUnavailableError):
    """An answer broke off so that ``obstore`` could not go on with it; the whole of it may be asked for again."""


class ObjectBackend:
    """Objects below a prefix of a bucket, through ``obstore``.

    Endpoint, region and credentials come from the environment: ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``,
    ``AWS_REGION`` or ``AWS_DEFAULT_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``,
    ``AWS_CA_BUNDLE``. Requests name the bucket in the path. A pickled backend holds no credentials: it finds those of
    the process that opens it.
    """

    remote = True

    def __init__(self, location: S3Location) -> None:
        self._location = location
        self._check_environment()

    @property
    def location(self) -> str:
        """The URL, ``s3://bucket/prefix``."""
        return str(self._location)

    def prepare(self) -> None:
        """Check that the bucket is there, and that nothing else lies below the prefix.

        Raises:
            StoreError: If there is no such bucket, or the prefix holds other things.
        """
        import obstore

        if self.size(FORMAT_KEY) is not None:
            return
        with self._asking("list"):
            found = next(iter(obstore.list(self._store, chunk_size=_LIST_CHUNK)), [])
        strangers = [item["path"] for item in found if not item["path"].startswith(TEMPORARY)]
        if strangers:
            raise StoreError(f"{self.location} holds other things ({', '.join(strangers[:3])}); name an empty prefix")

    def get(self, key: str, most: int) -> bytes | None:
        """Return an object's bytes, or None if there is none.

        Raises:
            StoreError: If it holds more than ``most`` bytes or cannot be read.
        """
        for _ in range(RETRIES):
            with contextlib.suppress(_BrokenOffError):
                return self._get(key, most)
        return self._get(key, most)

    def _get(self, key: str, most: int) -> bytes | None:
        import obstore

        with self._asking(f"read {_checked(key)}"):
            try:
                answer = obstore.get(self._store, key)
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None
            size = answer.meta["size"]
            if size > most:
                raise StoreError(f"{self.location}/{key} has {size} bytes; at most {most} are read; it is refused")
            return bytes(answer.bytes())

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, or None if there is none."""
        import obstore

        with self._asking(f"look at {_checked(key)}"):
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing one of that key in one step."""
        import obstore

        with self._asking(f"write {_checked(key)}"):
            obstore.put(self._store, key, data, use_multipart=len(data) > PART_BYTES, chunk_size=PART_BYTES)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one of that key exists; say whether what is there is this call's.

        An equal object is taken for this call's own: where an answer is lost and the request sent again, the second
        finds what the first wrote. Endpoints that ignore ``If-None-Match`` write in any case
        (:func:`roamrl.platform.store.probe.probe` tells).
        """
        import obstore

        with self._asking(f"write {_checked(key)}"):
            try:
                obstore.put(self._store, key, data, mode="create")
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                return self.get(key, len(data)) == data if self.size(key) == len(data) else False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        import obstore

        with self._asking(f"remove {_checked(key)}"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that ends in ``/``, sorted."""
        return sorted(item["path"] for item in self._listed(prefix))

    def modified(self, prefix: str) -> dict[str, float]:
        """Return the times the server says the objects below a prefix were last written."""
        return {item["path"]: item["last_modified"].timestamp() for item in self._listed(prefix)}

    def now(self) -> float:
        """Return the time the server gives an object written now."""
        import obstore

        key = f"{TEMPORARY}{uuid.uuid4().hex}"
        self.put(key, b"")
        try:
            with self._asking("read the clock"):
                return float(obstore.head(self._store, key)["last_modified"].timestamp())
        finally:
            self.delete(key)

    def _listed(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        import obstore

        _checked(prefix.rstrip("/"))
        with self._asking(f"list {prefix}"):
            for chunk in obstore.list(self._store, prefix, chunk_size=_LIST_CHUNK):
                yield from (item for item in chunk if _COMPONENT.fullmatch(item["path"].rpartition("/")[2]))

    @cached_property
    def _store(self) -> Any:
        from obstore.store import S3Store

        endpoint = _endpoint()
        plain = endpoint is not None and endpoint.startswith("http://")
        options: ClientConfig = {
            "allow_http": plain,
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "read_timeout": timedelta(seconds=SILENCE_S),
            "timeout": timedelta(seconds=REQUEST_S),
        }
        bundle = os.environ.get("AWS_CA_BUNDLE")
        if bundle and not plain:
            options["root_certificate"] = _certificate(bundle)
        config: S3Config = {"disable_bulk_delete": True}  # not every endpoint has it; objects are removed one by one
        if endpoint is not None:
            config["endpoint"] = endpoint
        with self._asking("open"):
            return S3Store(
                self._location.bucket,
                prefix=self._location.prefix or None,
                client_options=options,
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
                config=config,
            )

    def _check_environment(self) -> None:
        given = [bool(os.environ.get(name)) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if any(given) and not all(given):
            raise StoreError(f"{self.location}: only half of the credentials is given; {_CREDENTIALS}")
        endpoint = _endpoint()
        if endpoint is not None and not re.match(r"https?://[^/]", endpoint):
            raise StoreError(f"the endpoint {endpoint!r} (AWS_ENDPOINT_URL) is no URL; give http(s)://host:port")

    def _check_bucket(self, error: FileNotFoundError) -> None:
        """Raise if it is not the object that is not there, but the bucket."""
        if _code(error) == "NoSuchBucket":
            raise self._no_bucket() from error

    def _no_bucket(self) -> StoreError:
        where = _endpoint() or "AWS"
        return StoreError(f"there is no bucket {self._location.bucket!r} at {where}; make it, or name another")

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn what goes wrong with a request into a typed error."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if not (type(error).__module__.startswith("obstore") or isinstance(error, FileNotFoundError | ValueError)):
                raise
            raise self._typed(what, error) from error

    def _typed(self, what: str, error: Exception) -> StoreError:
        """Say what an error of obstore means."""
        import obstore

        text, code = str(error).split("\n\nDebug source")[0], _code(error)
        where = f"cannot {what} in {self.location}"
        if code == "NoSuchBucket":
            return self._no_bucket()
        if _METADATA_HOST in text:
            return StoreError(f"{where}: no credentials; {_CREDENTIALS}")
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
            return StoreError(f"{where}: the credentials are not accepted ({code}); {_CREDENTIALS}")
        if isinstance(error, obstore.exceptions.PermissionDeniedError | obstore.exceptions.UnauthenticatedError):
            kind = StoreReadOnlyError if what.startswith(("write", "remove")) else StoreError
            return kind(f"{where}: access is denied ({code or 'no code'}); ask the bucket's owner for the right")
        if _NO_SUCH_REST.search(text):
            return _BrokenOffError(f"{where}: answers break off; the endpoint may be overloaded, try again")
        if "HTTP error" in text or re.search(r"status code: 5\d\d", text):
            reached = _endpoint() or "AWS"
            return StoreUnavailableError(
                f"{where}: {reached} does not answer ({code or _cause(text)}); check host and network"
            )
        return StoreError(f"{where}: {code or _cause(text)}; check bucket, region (AWS_REGION) and endpoint")

    def __repr__(self) -> str:
        return f"ObjectBackend({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ObjectBackend, (self._location,))


def _endpoint() -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((value for name in names if (value := os.environ.get(name))), None)


def _certificate(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read AWS_CA_BUNDLE={path}: {error.strerror}; name a file of certificates") from error


def _checked(key: str) -> str:
    if not all(_COMPONENT.fullmatch(part) for part in key.split("/")):
        raise StoreError(f"{key!r} cannot name an object of a store; ids are 64 hexadecimal digits")
    return key


def _code(error: Exception) -> str | None:
    match = _CODE.search(str(error))
    return match[1] if match else None


def _cause(text: str) -> str:
    return text.splitlines()[0].rpartition(" - ")[2][:200]
