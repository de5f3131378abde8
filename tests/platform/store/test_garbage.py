"""Collections: what they remove and what they keep."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.garbage import DAY_S
from roamrl.platform.store.layout import blob_key

LONG_AGO = 1_000_000.0


def plant_blob(store: ExpertStore, content: bytes, *, old: bool) -> Path:
    path = Path(store.location) / blob_key(hashlib.sha256(content).hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if old:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def age_all(store: ExpertStore, folder: str) -> None:
    for path in (Path(store.location) / folder).rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO, LONG_AGO))


def test_old_orphans_go_and_young_ones_stay(store, make_bundle, make_fields):
    old = plant_blob(store, b"old", old=True)
    young = plant_blob(store, b"young", old=False)
    expert = store.get(store.publish(make_bundle(), make_fields()))
    age_all(store, "entries")
    blob = Path(store.location) / blob_key(expert.manifest.blob.sha256)
    os.utime(blob, (LONG_AGO, LONG_AGO))
    report = store.gc()
    assert (report.blobs, report.bytes, report.restored) == (1, 3, 0)
    assert not old.exists() and young.exists() and blob.exists()
    assert not list((Path(store.location) / "trash").iterdir())
    assert store.gc() == type(report)(0, 0, 0, 0, 0)


def test_age_is_by_the_stores_clock_whatever_the_writers_says(store, make_bundle, make_fields, monkeypatch):
    orphan = plant_blob(store, b"x", old=False)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2199, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("roamrl.platform.store.publish.datetime", Ahead)
    monkeypatch.setattr("time.time", lambda: 9e9)
    entry_id = store.publish(make_bundle(), make_fields())
    assert store.gc().blobs == 0 and orphan.exists()
    assert "2199" in store.get(entry_id).entry.envelope.published
    monkeypatch.setattr(FolderBackend, "now", lambda self: orphan.stat().st_mtime + DAY_S + 1)
    assert store.gc().blobs == 1 and not orphan.exists()
    assert store.verify().ok


def test_temporary_files_of_killed_writers_go_after_the_grace_period(store):
    folder = Path(store.location) / "tmp"
    folder.mkdir(exist_ok=True)
    (folder / "aaaa").write_bytes(b"half")
    (folder / "bbbb").write_bytes(b"half")
    os.utime(folder / "aaaa", (LONG_AGO, LONG_AGO))
    assert store.gc().temporary == 1
    assert [path.name for path in folder.iterdir()] == ["bbbb"]


def test_a_retracted_experts_weights_go_after_the_grace_period_unless_shared(store, make_bundle, make_fields):
    shared_one = store.publish(make_bundle(1), make_fields(seed=1))
    shared_two = store.publish(make_bundle(1), make_fields(seed=2))
    alone = store.publish(make_bundle(2), make_fields(seed=3))
    store.retract(shared_one, "wrong reward")
    store.retract(alone, "wrong reward")
    age_all(store, "blobs")
    assert store.gc().blobs == 0
    age_all(store, "tombstones")
    assert store.gc().blobs == 1
    assert [entry.id for entry in store.ls()] == [shared_two]
    assert store.get(shared_two).bundle().spec.kind == "mlp"
    report = store.verify()
    assert report.ok and (report.entries, report.blobs, report.retracted) == (3, 1, 2)


def test_an_entry_that_cannot_be_read_keeps_its_weights(store, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    (path,) = Path(store.location).glob("entries/*/*.json")
    path.write_bytes(path.read_bytes().replace(b'"format":"roamrl-expert-v1"', b'"format":"roamrl-expert-v9"'))
    age_all(store, "blobs")
    assert store.gc().blobs == 0
    assert (Path(store.location) / blob_key(expert.manifest.blob.sha256)).exists()


def test_superseded_snapshots_go_and_the_newest_stays(store, make_bundle, make_fields):
    for seed in range(3):
        store.publish(make_bundle(), make_fields(seed=seed))
        store.compact()
        newest = store.compact()
        age_all(store, "index")
    os.utime(Path(store.location) / newest, (LONG_AGO + 1, LONG_AGO + 1))
    assert store.gc().snapshots == 2
    assert [path.name for path in (Path(store.location) / "index").iterdir()] == [newest.split("/")[-1]]


@pytest.mark.parametrize("grace", [-1.0, float("nan")])
def test_a_grace_period_that_makes_no_sense_is_refused(store, grace):
    with pytest.raises(StoreError, match="grace period"):
        store.gc(grace)
