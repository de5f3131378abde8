"""Checkpoints that prove themselves whole, and going on from the newest of a trial that does."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.rllib.algorithms import Algorithm
from ray.rllib.utils.annotations import override
from ray.tune import Checkpoint

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError

SEAL_FILE = "seal.json"
"""File of a checkpoint with the digests of all its other files, and written after them."""

RECOVERED_FILE = "recovered.log"
"""File of a learner's folder with a line for every checkpoint that was passed over."""

_NAMES = "checkpoint_*"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """What a checkpoint says of itself.

    Attributes:
        iteration: Results that the trial had reported.
        files: The sha256 of every other file, by its path within the checkpoint.
    """

    iteration: int
    files: Mapping[str, str]


def seal(place: Path, iteration: int) -> None:
    """Write the seal of a checkpoint whose other files are complete."""
    files = {path.relative_to(place).as_posix(): _digest(path) for path in sorted(_contents(place))}
    content = {"iteration": iteration, "files": files}
    write_atomically(place / SEAL_FILE, json.dumps({**content, "sha256": content_hash(content)}).encode())


def read_seal(place: Path) -> Seal | None:
    """Return a checkpoint's seal; None if there is none, or it is not as it was written."""
    try:
        found = json.loads((place / SEAL_FILE).read_bytes())
        content = {"iteration": found["iteration"], "files": found["files"]}
        if content_hash(content) != found["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Seal(found["iteration"], found["files"])


def is_whole(place: Path) -> bool:
    """Return whether every file of a checkpoint is as it was written."""
    known = read_seal(place)
    if known is None:
        return False
    try:
        return all(_digest(place / name) == digest for name, digest in known.files.items())
    except OSError:
        return False


def newest_whole(folder: Path) -> Path | None:
    """Return the checkpoint of a trial's folder that was written last and is whole; None if there is none.

    Tune numbers checkpoints anew when a killed driver is started again, so their names do not tell their age.
    """
    seals = [(known.iteration, place) for place in folder.glob(_NAMES) if (known := read_seal(place)) is not None]
    return next((place for _, place in sorted(seals, reverse=True) if is_whole(place)), None)


class SealedCheckpoints(Algorithm):
    """An Algorithm whose checkpoints carry their digests, and that goes on from a whole one.

    Within a trial :meth:`restore` takes the newest whole checkpoint in the trial's folder, whichever Tune names: Tune
    names a damaged one as often as the trial may fail, and after its own death the last that it had made a note of.
    Without a whole one the trial begins anew. Whatever is passed over is logged as a warning and written to
    ``recovered.log`` in the learner's folder. Iterations follow from the learner alone, so what comes out is the same.
    """

    _folder: Path | None

    @override(Algorithm)
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint, and its seal last."""
        super().save_checkpoint(checkpoint_dir)
        seal(Path(checkpoint_dir), self.iteration)

    @override(Algorithm)
    def restore(self, checkpoint_path: Any) -> None:
        """Go on from a checkpoint, or within a trial from its newest whole one.

        Raises:
            InputError: If the checkpoint is damaged and there is nothing else to go on from.
        """
        given = _local_path(checkpoint_path)
        if given is None:
            super().restore(checkpoint_path)
        elif given.parent != self._trial_folder() or not _sealed(given.parent):
            if (given / SEAL_FILE).exists() and not is_whole(given):
                raise InputError(f"checkpoint {given} is damaged: files differ from its {SEAL_FILE}; name another")
            super().restore(checkpoint_path)
        else:
            self._restore_newest(given, checkpoint_path)

    def _restore_newest(self, given: Path, checkpoint_path: Any) -> None:
        chosen = newest_whole(given.parent)
        if chosen is None and self.iteration:
            raise InputError(f"no checkpoint in {given.parent} is whole; start the trial anew")
        if chosen == given:
            super().restore(checkpoint_path)
            return
        instead = "the trial begins anew" if chosen is None else f"the trial goes on from {chosen.name}"
        why = "is older than another" if is_whole(given) else "is damaged or gone"
        self._tell(f"checkpoint {given} {why}: {instead}")
        if chosen is not None:
            super().restore(str(chosen))

    def _tell(self, words: str) -> None:
        _log.warning("%s", words)
        if self._folder is not None:
            with (self._folder / RECOVERED_FILE).open("a", encoding="utf-8") as end:
                end.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {words}\n")

    def _trial_folder(self) -> Path | None:
        storage = self._storage
        return None if storage is None or storage.trial_dir_name is None else Path(storage.trial_fs_path)


def _local_path(checkpoint: Any) -> Path | None:
    """Return where a checkpoint, as Tune or a person names it, lies on this machine; None if it lies elsewhere."""
    checkpoint = getattr(checkpoint, "checkpoint", checkpoint)
    if isinstance(checkpoint, Checkpoint):
        filesystem: Any = checkpoint.filesystem
        return Path(checkpoint.path) if filesystem.type_name == "local" else None
    return Path(checkpoint)


def _sealed(folder: Path) -> bool:
    """Return whether the checkpoints of a trial's folder have seals; those of earlier versions have none."""
    return any((place / SEAL_FILE).exists() for place in folder.glob(_NAMES))


def _contents(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file() and path.name != SEAL_FILE]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
