"""One command at a time in the folder of a run or a sweep."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roamrl.envs.errors import InputError

LOCK_FILE = ".lock"
"""Name of the file in the folder that a command locks while it is at work there; it stays."""

_log = logging.getLogger(__name__)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other commands out of a folder, made if need be, for the time of a ``with`` block.

    The lock ends with its process, however that ends. On a file system without locks a warning is logged.

    Raises:
        InputError: If another command is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InputError(
                f"another command is at work in {folder} ({lock.read().strip() or 'it has just begun'}); "
                "wait for it, end it, or give another --out"
            ) from error
        except OSError as error:
            _log.warning("%s cannot be locked (%s); start no second command there", folder, error.strerror)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        yield


def is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing, or is not there; a lock is nothing."""
    return not folder.exists() or all(each.name == LOCK_FILE for each in folder.iterdir())


def empty(folder: Path) -> None:
    """Delete all that a folder holds but its lock."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != LOCK_FILE:
            each.unlink()
