"""A store in a local folder (or one that several machines mount)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from roamrl.platform.store.errors import StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.layout import FORMAT_KEY

_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TEMPORARY = "tmp/"
_NO_WRITES = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}
_AWAY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN}


class FolderBackend:
    """Objects as files: written to ``tmp/``, synced, then linked to their final name in one step."""

    remote = False

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self._root)

    def prepare(self) -> None:
        """Make the folder if there is none.

        Raises:
            StoreError: If it is a file, holds other things, or cannot be made.
        """
        root = self._root
        try:
            if root.exists() and not root.is_dir():
                raise StoreError(f"{root} is a file; name a folder for the store")
            if root.exists() and not (root / FORMAT_KEY).exists():
                strangers = sorted(path.name for path in root.iterdir() if path.name != _TEMPORARY.rstrip("/"))
                if strangers:
                    raise StoreError(f"{root} holds other things ({', '.join(strangers[:3])}); name an empty folder")
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _kind_of(error, writing=True)(
                f"cannot make {root}: {error.strerror}; name a folder you may write"
            ) from error

    def get(self, key: str, most: int) -> bytes | None:
        """Return a file's bytes, or None if there is none.

        Raises:
            StoreError: If it holds more than ``most`` bytes, is no plain file, or cannot be read.
        """
        path = self._path(key)
        try:
            with open(path, "rb", opener=_open_plainly) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise StoreError(f"{path} is not a plain file; remove it")
                if status.st_size > most:
                    raise StoreError(f"{path} has {status.st_size} bytes; at most {most} are read; it is refused")
                return file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link(path) from error
            raise _kind_of(error)(
                f"cannot read {path}: {error.strerror}; check the folder and its permissions"
            ) from error

    def size(self, key: str) -> int | None:
        """Return a file's size in bytes, or None if there is none."""
        path = self._path(key)
        try:
            return path.lstat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _kind_of(error)(f"cannot look at {path}: {error.strerror}; check the folder") from error

    def put(self, key: str, data: bytes) -> None:
        """Write a file, replacing one of that name in one step.

        Raises:
            StoreError: If the folder cannot be written.
        """
        path = self._path(key)
        with self._temporary(path, data) as temporary:
            os.replace(temporary, path)
            _sync_folder(path.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a file unless one of that name exists; say whether this call wrote it.

        Raises:
            StoreError: If the folder cannot be written, or its file system knows no hard links.
        """
        path = self._path(key)
        with self._temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
        return True

    def delete(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        path = self._path(key)
        with _writing(path):
            path.unlink(missing_ok=True)

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that ends in ``/``, sorted."""
        return sorted(key for key, _ in self._walk(prefix))

    def modified(self, prefix: str) -> dict[str, float]:
        """Return the files' modification times below a prefix."""
        times = {}
        for key, entry in self._walk(prefix):
            with contextlib.suppress(FileNotFoundError):  # taken by a collector since it was listed
                times[key] = entry.stat(follow_symlinks=False).st_mtime
        return times

    def now(self) -> float:
        """Return the modification time the file system gives a file made now."""
        path = self._path(f"{_TEMPORARY}{uuid.uuid4().hex}")
        with self._temporary(path, b"") as temporary:
            return temporary.stat().st_mtime

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        pending = [prefix.rstrip("/")]
        self._path(f"{pending[0]}/x")
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self._root / folder) as entries:
                    for entry in entries:
                        key = f"{folder}/{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(key)
                        elif _COMPONENT.fullmatch(entry.name):  # others are the file system's own
                            yield key, entry
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _kind_of(error)(f"cannot list {self._root / folder}: {error.strerror}; check it") from error

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(_COMPONENT.fullmatch(part) for part in parts):
            raise StoreError(f"{key!r} cannot name an object of a store; ids are 64 hexadecimal digits")
        folder = self._root
        for part in parts[:-1]:  # or a collector would remove what lies elsewhere
            folder = folder / part
            if folder.is_symlink():
                raise _link(folder)
        return folder / parts[-1]

    @contextlib.contextmanager
    def _temporary(self, final: Path, data: bytes) -> Iterator[Path]:
        """Write data to a synced temporary file, yield it, and remove it if it is still there."""
        temporary = self._path(f"{_TEMPORARY}{uuid.uuid4().hex}")
        with _writing(final):
            temporary.parent.mkdir(exist_ok=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _kind_of(error, writing=True)(
            f"cannot write {path}: {error.strerror}; the store needs a writable folder with free space "
            "on a file system with hard links"
        ) from error


def _kind_of(error: OSError, *, writing: bool = False) -> type[StoreError]:
    """Return the error that says whether the folder is away, or takes no writes, or is just not as it should be."""
    if error.errno in _AWAY:
        return StoreUnavailableError
    return StoreReadOnlyError if writing and error.errno in _NO_WRITES else StoreError


def _open_plainly(path: str, flags: int) -> int:
    """Open without following links, and without waiting: a named pipe in a blob's place cannot hang a reader."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _link(path: Path) -> StoreError:
    return StoreError(f"{path} is a symbolic link, which leads out of the store; put what it points to in its place")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
