"""Stores on file systems that are full or read-only, for real: what is published waits in a spool, and is told."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ExpertStore, ManifestFields
from roamrl.platform.store.errors import StoreReadOnlyError

MODULE = ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(2), {"hidden": [4]})
FIELDS = ManifestFields(
    family="slicing-v1", config={}, context={"load": 1.0}, features=(1.0,), strategy="scratch", env_steps=9, seed=1
)
SIZE = 2_000_000


def bundle(seed: int) -> PolicyBundle:
    return to_bundle(build_module(MODULE, [seed]), 0)


class SmallDisk:
    """A file system of two megabytes, or of another size after :meth:`remount`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._junk = path / "junk"

    def fill(self) -> None:
        with self._junk.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # it is full, which was the aim

    def free(self) -> None:
        self._junk.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    monkeypatch.setenv("ROAMRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROAMRL_SPOOL", raising=False)
    with mounted(tmp_path / "disk") as place:
        yield place


@contextmanager
def mounted(place: Path) -> Iterator[SmallDisk]:
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root on Linux")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


FAULTS = pytest.mark.parametrize("fault", ["full", "read-only"])


def spoil(disk: SmallDisk, fault: str) -> None:
    disk.fill() if fault == "full" else disk.remount("ro")


def mend(disk: SmallDisk, fault: str) -> None:
    disk.free() if fault == "full" else disk.remount("rw")


@FAULTS
def test_experts_wait_in_the_spool_and_are_delivered(
    disk: SmallDisk, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = ExpertStore.init(disk.path / "store", spooling=True)
    before = store.publish(bundle(1), FIELDS)
    spoil(disk, fault)
    with caplog.at_level(logging.WARNING, "roamrl.platform.store.spool"):
        waiting = [store.publish(bundle(seed), FIELDS) for seed in (2, 3)]
    said = "No space left on device" if fault == "full" else "Read-only file system"
    assert len(caplog.messages) == 1 and said in caplog.messages[0]
    assert f"roamrl store push --spooled {store.location}" in caplog.messages[0]
    for seed, entry_id in zip((2, 3), waiting, strict=True):
        found = store.get(entry_id).bundle()
        assert all(np.array_equal(found.arrays[name], array) for name, array in bundle(seed).arrays.items())
    assert store.get(before).id == before
    with pytest.raises(StoreReadOnlyError, match=said):
        ExpertStore.open(disk.path / "store").publish(bundle(4), FIELDS)
    mend(disk, fault)
    later = ExpertStore.open(disk.path / "store", spooling=True)
    assert [entry.id for entry in later.ls()] == [before], "nothing half-written came of it"
    assert later.deliver().copied == 2
    assert {entry.id for entry in later.ls()} == {before, *waiting} and later.verify().ok
    assert later.spool is not None and not later.spool.keys()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_study_is_run_to_its_end_with_a_full_store(
    disk: SmallDisk, commands: Any, study: dict[str, Any], tmp_path: Path
) -> None:
    """Experts go to the spool, are adapted from there, and are delivered by the command that the warning names."""
    study["arms"] = {"reuse": {"strategy": "reuse", "sources": "sources"}}
    study["splits"]["sources"] = {"tasks": [{"name": "source", "context": {"push": 0.25}}]}
    place = disk.path / "store"
    ExpertStore.init(place)
    disk.fill()
    assert commands.run(study, str(place)) == 0, commands.said()
    assert "No space left on device" in commands.said() and "store push --spooled" in commands.said()
    assert ExpertStore.open(place).ls() == []
    disk.free()
    command = [sys.executable, "-m", "roamrl.platform", "store", "push", "--spooled", str(place)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    delivered = ExpertStore.open(place)
    assert len(delivered.ls()) >= 2 and delivered.verify().ok


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_run_whose_own_disk_is_full_goes_on_when_there_is_room(
    commands: Any, study: dict[str, Any], tmp_path: Path
) -> None:
    """Twice: first a trial's checkpoints do not fit, then something that comes later."""

    def returns() -> list[float]:
        table = pq.read_table(tmp_path / "run" / "results.parquet")
        return table["return_mean"].to_pylist()

    with mounted(tmp_path / "run") as disk:
        for size in ("150k", "600k"):
            disk.remount(f"size={size}")
            assert commands.run(study) == 1, commands.said()
            assert "No space left on device; make room there" in commands.said().splitlines()[-1]
            assert not (disk.path / "report" / "index.html").exists()
        disk.remount("size=64m")
        assert commands.run(study) == 0, commands.said()
        found = returns()
    assert commands.run(study) == 0, commands.said()  # the folder below is empty: the same run on a larger disk
    assert found == returns()
