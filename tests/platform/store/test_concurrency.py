"""Sixteen processes publish into one store at once; some are killed; nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.limits import Limits

WORKER = Path(__file__).with_name("publish_worker.py")
WORKERS, OWN = 16, 10


@pytest.fixture
def start(store, make_bundle, make_fields, tmp_path):
    manifest, blob = encode_bundle(make_bundle(), make_fields(), Limits())
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    (tmp_path / "blob").write_bytes(blob)
    processes: list[subprocess.Popen[bytes]] = []

    def launch(number: int, count: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(WORKER), store.location, str(tmp_path / "manifest.json"), str(tmp_path / "blob")]
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


def test_sixteen_publishers_at_once_lose_nothing(store, start, tmp_path):
    processes = [start(number, OWN) for number in range(WORKERS)]
    while any(process.poll() is None for process in processes):
        reader = ExpertStore.open(store.location)
        seen = len(reader.ls())
        assert not reader.problems
        store.gc()
        store.refresh()
        assert len(store.ls()) >= seen
        time.sleep(0.3)
    assert [process.returncode for process in processes] == [0] * WORKERS
    ids = {entry_id for number in range(WORKERS) for entry_id in acknowledged(tmp_path, number)}
    assert len(ids) == WORKERS * OWN + 1
    report = store.verify()
    assert report.ok, report.problems[:3]
    assert (report.entries, report.blobs) == (WORKERS * OWN + 1, WORKERS * OWN + 1)
    store.refresh()
    assert {entry.id for entry in store.ls()} == ids
    assert not list((Path(store.location) / "tmp").iterdir())


def test_publishers_killed_at_random_leave_every_acknowledged_entry_whole(store, start, tmp_path):
    processes = [start(number, 10_000) for number in range(4)]
    for number, process in enumerate(processes):
        while len(acknowledged(tmp_path, number)) < 3 + 4 * number:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    ids = {entry_id for number in range(4) for entry_id in acknowledged(tmp_path, number)}
    report = store.verify()
    assert report.ok and len(ids) <= report.entries <= len(ids) + 4
    assert ids <= {entry.id for entry in store.ls()}
