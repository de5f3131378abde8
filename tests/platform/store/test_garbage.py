"""Collections: what they remove, what they keep, and who may run beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.garbage import DAY_S, Collector
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.publish import publish_entry

LIMITS = Limits()
LONG_AGO = 1_000_000.0


class Interrupted(FolderBackend):
    """A folder on which something happens just before one of its calls."""

    def __init__(self, root: Path, at: int, event: Callable[[], None]) -> None:
        super().__init__(root)
        self.calls = 0
        self._at = at
        self._event = event

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._event()

    def get(self, key, most):
        self._count()
        return super().get(key, most)

    def put(self, key, data):
        self._count()
        return super().put(key, data)

    def put_if_absent(self, key, data):
        self._count()
        return super().put_if_absent(key, data)

    def delete(self, key):
        self._count()
        return super().delete(key)

    def list(self, prefix):
        self._count()
        return super().list(prefix)

    def modified(self, prefix):
        self._count()
        return super().modified(prefix)


class Killed(Exception):
    """Stands for SIGKILL: what runs stops where it is."""


def kill() -> None:
    raise Killed


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


def calls_of(action: Callable[[FolderBackend], object], root: Path) -> int:
    backend = Interrupted(root, -1, kill)
    action(backend)
    return backend.calls


def test_a_collection_at_any_moment_of_a_publication_costs_nothing(tmp_path, make_bundle, make_fields):
    manifest, blob = encode_bundle(make_bundle(), make_fields(), LIMITS)

    def publish(backend: FolderBackend) -> None:
        publish_entry(backend, LIMITS, manifest, blob, "tester")

    count = calls_of(publish, Path(ExpertStore.init(tmp_path / "counted").location))
    for at in range(1, count + 1):
        store = ExpertStore.init(tmp_path / f"store{at}")
        plant_blob(store, blob, old=True)

        def collect(store: ExpertStore = store) -> None:
            age_all(store, "blobs")
            store.gc()

        publish(Interrupted(Path(store.location), at, collect))
        report = ExpertStore.open(store.location).verify()
        assert report.ok and report.blobs == 1, at


def test_a_publication_at_any_moment_of_a_collection_costs_nothing(tmp_path, make_bundle, make_fields):
    manifest, blob = encode_bundle(make_bundle(), make_fields(), LIMITS)
    at, reached = 0, True
    while reached:
        at += 1
        store = ExpertStore.init(tmp_path / f"store{at}")
        plant_blob(store, blob, old=True)
        folder = FolderBackend(Path(store.location))
        backend = Interrupted(
            Path(store.location), at, lambda folder=folder: publish_entry(folder, LIMITS, manifest, blob, "tester")
        )
        Collector(backend, LIMITS, DAY_S).run()
        reached = backend.calls >= at
        if reached:
            report = ExpertStore.open(store.location).verify()
            assert report.ok and report.blobs == 1, at
    assert at > 10


def test_a_collector_killed_at_any_moment_loses_nothing_that_is_referred_to(tmp_path, make_bundle, make_fields):
    manifest, blob = encode_bundle(make_bundle(), make_fields(), LIMITS)
    at, killed, restored = 0, True, 0
    while killed:
        at += 1
        store = ExpertStore.init(tmp_path / f"store{at}")
        orphan = plant_blob(store, blob, old=True)
        root = Path(store.location)
        try:
            Collector(Interrupted(root, at, kill), LIMITS, DAY_S).run()
            killed = False
        except Killed:
            trashed = list((root / "trash").glob("*"))
            entry = publish_entry(FolderBackend(root), LIMITS, manifest, blob, "tester")
            orphan.unlink()  # as if the collector had taken it after the publisher's last look
            if trashed:
                assert store.gc().restored == 1, at
                restored += 1
                store.refresh()
                assert store.get(entry.id).bundle().spec.kind == "mlp"
                age_all(store, "trash")
                store.gc()
                assert not list((root / "trash").iterdir()) and store.verify().ok
    assert at > 10 and restored >= 3
