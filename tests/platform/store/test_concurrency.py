"""Many processes publish into one store at once; some are killed; nothing that was acknowledged is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.limits import Limits

WORKER = Path(__file__).with_name("publish_worker.py")
EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server", "s3rver"], indirect=True)
FOLDER = pytest.mark.parametrize("place", ["folder"], indirect=True)


@pytest.fixture
def start(place, make_bundle, make_fields, tmp_path):
    manifest, blob = encode_bundle(make_bundle(), make_fields(), Limits())
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    (tmp_path / "blob").write_bytes(blob)
    ExpertStore.init(place)
    processes: list[subprocess.Popen[bytes]] = []

    def launch(number: int, count: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(WORKER), place, str(tmp_path / "manifest.json"), str(tmp_path / "blob")]
        process = subprocess.Popen([*command, str(number), str(count), str(tmp_path / f"acknowledged-{number}")])
        processes.append(process)
        return process

    yield launch
    for process in processes:
        process.kill()
        process.wait()


def acknowledged(folder: Path, number: int) -> list[str]:
    path = folder / f"acknowledged-{number}"
    return [line for line in path.read_text().split("\n")[:-1] if line] if path.exists() else []


def watch(place: str, seen: set[str]) -> set[str]:
    """Look at the store as a stranger does: nothing torn, nothing gone that was seen before."""
    reader = ExpertStore.open(place)
    ids = {entry.id for entry in reader.ls()}
    assert not reader.problems
    assert seen <= ids
    return ids


@FOLDER
def test_sixteen_publishers_at_once_lose_nothing(place, start, tmp_path):
    workers, own = 16, 10
    processes = [start(number, own) for number in range(workers)]
    store, seen = ExpertStore.open(place), set()
    while any(process.poll() is None for process in processes):
        seen = watch(place, seen)
        store.gc()
        time.sleep(0.3)
    assert [process.returncode for process in processes] == [0] * workers
    ids = {entry_id for number in range(workers) for entry_id in acknowledged(tmp_path, number)}
    assert len(ids) == workers * own + 1
    report = store.verify()
    assert report.ok, report.problems[:3]
    assert (report.entries, report.blobs) == (workers * own + 1, workers * own + 1)
    assert {entry.id for entry in store.ls()} == ids
    assert not list((Path(store.location) / "tmp").iterdir())


@EVERYWHERE
def test_publishers_killed_at_random_leave_every_acknowledged_entry_whole(place, start, tmp_path):
    killed_while_publishing(place, start, tmp_path, workers=4, count=10_000, until=12, watches=1)


@EVERYWHERE
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sixteen_publishers_of_five_hundred_killed_at_random_lose_nothing(place, start, tmp_path):
    killed_while_publishing(place, start, tmp_path, workers=16, count=500, until=500, watches=20)


def killed_while_publishing(
    place: str, start, tmp_path: Path, *, workers: int, count: int, until: int, watches: int
) -> None:
    """Let workers publish, kill each at a random number of entries (``until`` at most), and look for losses."""
    draw = random.Random(workers * count)
    ends = [draw.randint(1, until) for _ in range(workers)]
    processes = [start(number, count) for number in range(workers)]
    seen: set[str] = set()
    running, looked = set(range(workers)), 0
    while running:
        for number in sorted(running):
            if len(acknowledged(tmp_path, number)) >= ends[number] or processes[number].poll() is not None:
                assert processes[number].poll() in (None, 0), "a worker failed by itself"
                processes[number].kill()
                processes[number].wait()
                running.discard(number)
        if looked < watches and len(running) < workers * (1 - looked / (watches + 1)):
            seen, looked = watch(place, seen), looked + 1
        time.sleep(0.02)
    ids = {entry_id for number in range(workers) for entry_id in acknowledged(tmp_path, number)}
    assert len(ids) > workers
    store = ExpertStore.open(place)
    report = store.verify()
    assert report.ok, report.problems[:3]
    assert len(ids) <= report.entries <= len(ids) + workers
    assert ids | seen <= {entry.id for entry in store.ls()}
