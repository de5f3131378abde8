"""Stores that are away or read-only: publishing goes on into a spool, lookups go on from what is known."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.spool import REST_S, Spool

EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)
CALLS = ("get", "size", "put", "put_if_absent", "delete", "list", "modified", "now")
WRITES = ("put", "put_if_absent", "delete", "now")


class Weather:
    """Lets a store's backend fail, and mends it again; the clock of its spool goes on by hand."""

    def __init__(self, store: ExpertStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._backend, self._now = store._backend, 1e6
        monkeypatch.setattr("roamrl.platform.store.spool.time.monotonic", lambda: self._now)
        self.asked = 0

    def storm(self, error: type[StoreError], calls: tuple[str, ...]) -> None:
        def fail(*arguments: object) -> None:
            self.asked += 1
            raise error("told by the test")

        for call in calls:
            setattr(self._backend, call, fail)

    def calm(self) -> None:
        for call in CALLS:
            vars(self._backend).pop(call, None)
        self._now += REST_S


@pytest.fixture
def weather(place, monkeypatch):
    store = ExpertStore.init(place, spooling=True)
    return store, Weather(store, monkeypatch)


BAD = pytest.mark.parametrize(
    ("error", "calls"), [(StoreUnavailableError, CALLS), (StoreReadOnlyError, WRITES)], ids=["away", "read-only"]
)


@EVERYWHERE
@BAD
def test_publishing_goes_on_and_is_delivered_later(weather, place, error, calls, make_bundle, make_fields, caplog):
    store, sky = weather
    before = store.publish(make_bundle(0), make_fields(seed=0))
    assert store.get(before).id == before
    sky.storm(error, calls)
    with caplog.at_level(logging.WARNING, "roamrl.platform.store.spool"):
        waiting = [store.publish(make_bundle(seed), make_fields(seed=seed)) for seed in (1, 2)]
    assert len(caplog.records) == 1 and "store push --spooled" in caplog.messages[0]
    assert sky.asked == 1  # the second did not ask again so soon
    for entry_id in waiting:
        assert store.get(entry_id).id == store.get(entry_id[:12]).id == entry_id
        assert store.get(entry_id).bundle().spec.kind == "mlp"
    assert set(store.spool.keys()) == set(waiting)
    sky.calm()
    assert [entry.id for entry in ExpertStore.open(place).ls()] == [before]
    after = store.publish(make_bundle(3), make_fields(seed=3))
    assert store.spool.keys() == {} and "2 entries were brought there" in caplog.messages[-1]
    fresh = ExpertStore.open(place)
    assert {entry.id for entry in fresh.ls()} == {before, *waiting, after}
    assert fresh.verify().ok and not list(Path(store.spool.location).glob("blobs/*/*/*"))


@EVERYWHERE
def test_lookups_go_on_from_what_is_known(weather, make_bundle, make_fields, caplog):
    store, sky = weather
    entry_id = store.publish(make_bundle(), make_fields())
    assert [entry.id for entry in store.ls()] == [entry_id]
    sky.storm(StoreUnavailableError, CALLS)
    waiting = store.publish(make_bundle(1), make_fields(seed=1))
    with caplog.at_level(logging.WARNING, "roamrl.platform.store.store"):
        assert [entry.id for entry in store.ls()] == [entry_id]
        assert store.get(entry_id[:12]).entry == store.entry(entry_id)
        assert store.get(waiting).id == waiting
        assert [near.entry.id for near in store.nearest([0.8, 0.2], "slicing-v1")] == [entry_id]
    assert sum("what was known of it before" in message for message in caplog.messages) == 1
    with pytest.raises(StoreUnavailableError):
        store.refresh()
    assert [entry.id for entry in store.ls()] == [entry_id]
    with pytest.raises(StoreUnavailableError):
        store.get("abcd")


def test_without_a_spool_a_store_that_is_away_is_an_error(store, make_bundle, make_fields, monkeypatch):
    Weather(store, monkeypatch).storm(StoreUnavailableError, CALLS)
    with pytest.raises(StoreUnavailableError):
        store.publish(make_bundle(), make_fields())
    with pytest.raises(StoreUnavailableError):
        store.ls()


def test_a_refusal_of_the_entry_itself_is_not_spooled(tmp_path, make_bundle, make_fields):
    store = ExpertStore.init(tmp_path / "store", spooling=True)
    gone = store.publish(make_bundle(), make_fields())
    store.retract(gone, "wrong reward")
    with pytest.raises(StoreError, match="was retracted and stays so"):
        store.publish(make_bundle(), make_fields())
    assert store.spool.keys() == {}


def test_a_folder_that_becomes_read_only_spools(tmp_path, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(tmp_path / "store", spooling=True)
    link = os.link

    def read_only(source: Path, target: Path) -> None:
        if str(target).startswith(store.location):
            raise OSError(30, "Read-only file system")
        link(source, target)

    with monkeypatch.context() as broken:
        broken.setattr("os.link", read_only)
        waiting = store.publish(make_bundle(), make_fields())
    assert list(store.spool.keys()) == [waiting]
    later = ExpertStore.open(tmp_path / "store", spooling=True)
    assert later.deliver().copied == 1
    assert [entry.id for entry in later.ls()] == [waiting] and later.verify().ok


def test_each_store_has_its_own_spool_where_the_environment_says(tmp_path, monkeypatch):
    own = Spool.of("s3://team/store").location
    assert own.startswith(str(tmp_path / "cache" / "spool" / "s3-team-store-"))
    assert Spool.of("s3://team/store-2").location != own == Spool.of("s3://team/store").location
    monkeypatch.setenv("ROAMRL_SPOOL", str(tmp_path / "elsewhere"))
    assert Path(Spool.of("s3://team/store").location).parent == tmp_path / "elsewhere"


def test_a_retracted_entry_leaves_the_spool_without_coming_back(tmp_path, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(tmp_path / "store", spooling=True)
    sky = Weather(store, monkeypatch)
    sky.storm(StoreUnavailableError, CALLS)
    entry_id = store.publish(make_bundle(), make_fields())
    sky.calm()
    other = ExpertStore.open(tmp_path / "store")
    assert other.publish(make_bundle(), make_fields()) == entry_id
    other.retract(entry_id, "wrong reward")
    report = store.deliver()
    assert (report.copied, report.retracted) == (0, 1) and store.spool.keys() == {}
    assert store.ls() == []


def test_a_delivery_that_is_cut_off_is_made_whole_by_the_next(tmp_path, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(tmp_path / "store", spooling=True)
    sky = Weather(store, monkeypatch)
    sky.storm(StoreUnavailableError, CALLS)
    ids = {store.publish(make_bundle(seed), make_fields(seed=seed)) for seed in range(3)}
    sky.calm()
    count = 0
    put = FolderBackend.put_if_absent

    def fails_later(self: FolderBackend, key: str, data: bytes) -> bool:
        nonlocal count
        count += 1
        if count > 1:
            raise StoreUnavailableError("told by the test")
        return put(self, key, data)

    with monkeypatch.context() as broken:
        broken.setattr(FolderBackend, "put_if_absent", fails_later)
        with pytest.raises(StoreUnavailableError):
            store.deliver()
    assert set(store.spool.keys()) == ids and len(ExpertStore.open(tmp_path / "store").ls()) == 1
    report = store.deliver()
    assert (report.copied, report.there) == (2, 1)
    assert {entry.id for entry in store.ls()} == ids and store.verify().ok and store.spool.keys() == {}


def test_a_spooling_store_travels_with_its_spool(tmp_path):
    store = ExpertStore.init(tmp_path / "store", spooling=True)
    assert pickle.loads(pickle.dumps(store)).spool.location == store.spool.location
