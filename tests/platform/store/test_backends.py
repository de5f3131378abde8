"""What every backend promises, on a folder and on two S3 endpoints; and what goes wrong with an endpoint."""

from __future__ import annotations

import http.server
import pickle
import socket
import threading
import time
from pathlib import Path

import obstore
import pytest

from roamrl.platform.store import ExpertStore, StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.location import S3Location, backend_at, parse_location
from roamrl.platform.store.objects import ObjectBackend
from roamrl.platform.store.probe import probe

EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server", "s3rver"], indirect=True)
CONDITIONAL = pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)


@pytest.fixture
def backend(place: str) -> Backend:
    found = backend_at(place)
    found.prepare()
    return found


@EVERYWHERE
def test_objects_come_back_as_they_were_put(backend):
    assert backend.get("blobs/x", 10) is None and backend.size("blobs/x") is None
    backend.put("blobs/x", b"one")
    assert backend.get("blobs/x", 3) == b"one" and backend.size("blobs/x") == 3
    backend.put("blobs/x", b"three")
    assert backend.get("blobs/x", 10) == b"three"
    with pytest.raises(StoreError, match="has 5 bytes; at most 4 are read"):
        backend.get("blobs/x", 4)
    backend.delete("blobs/x")
    backend.delete("blobs/x")
    assert backend.get("blobs/x", 10) is None


@EVERYWHERE
def test_objects_larger_than_a_part_come_back_whole(backend):
    data = bytes(range(256)) * (9 << 12)
    backend.put("blobs/large", data)
    assert backend.size("blobs/large") == len(data) == 9 << 20
    assert backend.get("blobs/large", len(data)) == data


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
@pytest.mark.parametrize("said", ["416: <Error><Code>InvalidRange</Code></Error>", "Requested 0..4, got 0..1"])
@pytest.mark.parametrize(("broken", "read"), [(3, b"data"), (4, None)])
def test_an_answer_that_breaks_off_is_asked_for_again(backend, monkeypatch, broken, read, said):
    backend.put("blobs/x", b"data")
    asked = []

    class BrokenOff:
        def __init__(self):
            self.meta = {"size": 4}

        def bytes(self):
            raise obstore.exceptions.GenericError(f"Generic S3 error: {said}")

    whole = obstore.get

    def get(store, key):
        asked.append(key)
        return BrokenOff() if len(asked) <= broken else whole(store, key)

    monkeypatch.setattr(obstore, "get", get)
    if read is None:
        with pytest.raises(StoreUnavailableError, match="answers break off"):
            backend.get("blobs/x", 4)
    else:
        assert backend.get("blobs/x", 4) == read
    assert len(asked) == 4


@CONDITIONAL
def test_of_two_who_create_a_key_the_first_stays(backend):
    assert backend.put_if_absent("tags/a", b"first")
    assert not backend.put_if_absent("tags/a", b"second")
    assert not backend.put_if_absent("tags/a", b"other")
    assert backend.get("tags/a", 10) == b"first"


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_a_creation_whose_answer_was_lost_finds_its_own(backend):
    assert backend.put_if_absent("tags/a", b"mine")
    assert backend.put_if_absent("tags/a", b"mine")


@EVERYWHERE
def test_listings_hold_what_lies_below_a_prefix_and_nothing_beside_it(backend):
    keys = ["entries/20250101/a.json", "entries/20250102/b.json"]
    for key in [*reversed(keys), "entriesx/c.json", "tmp/d"]:
        backend.put(key, b"x")
    assert backend.list("entries/") == keys
    assert backend.list("entries/20250102/") == keys[1:]
    assert backend.list("blobs/") == []
    assert list(backend.modified("entries/")) and set(backend.modified("entries/")) == set(keys)


@EVERYWHERE
def test_a_clock_of_the_storage_tells_the_age_of_objects(backend):
    backend.put("blobs/x", b"x")
    age = backend.now() - backend.modified("blobs/")["blobs/x"]
    assert -1.0 <= age < 60.0
    assert backend.list("tmp/") == []


@EVERYWHERE
@pytest.mark.parametrize("key", ["../x", "a/../b", "", "/a", "a//b", "a\0b", ".hidden"])
def test_keys_that_leave_the_store_are_refused(backend, key):
    for call in (
        lambda: backend.get(key, 1),
        lambda: backend.put(key, b""),
        lambda: backend.put_if_absent(key, b""),
        lambda: backend.delete(key),
        lambda: backend.size(key),
        lambda: backend.list(f"{key}/"),
    ):
        with pytest.raises(StoreError, match="cannot name an object"):
            call()


@EVERYWHERE
def test_backends_travel_between_processes(backend):
    backend.put("blobs/x", b"x")
    far = pickle.loads(pickle.dumps(backend))
    assert far.location == backend.location and far.get("blobs/x", 1) == b"x"


def test_a_pickled_backend_holds_no_credentials(moto_server, monkeypatch):
    for name, value in {**moto_server.environment, "AWS_SECRET_ACCESS_KEY": "quite-secret"}.items():
        monkeypatch.setenv(name, value)
    backend = ObjectBackend(S3Location("team", "x"))
    backend.list("blobs/")
    assert b"quite-secret" not in pickle.dumps(backend)


@EVERYWHERE
def test_a_place_with_other_things_is_left_alone(backend, place):
    backend.put("thesis/chapter", b"years of work")
    with pytest.raises(StoreError, match=r"holds other things \(thesis"):
        ExpertStore.init(place)
    assert backend.list("thesis/") == ["thesis/chapter"]


@EVERYWHERE
def test_publishing_from_many_stores_at_once_is_seen_by_all(place, make_bundle, make_fields):
    ExpertStore.init(place)
    ids = [ExpertStore.init(place).publish(make_bundle(seed), make_fields(seed=seed)) for seed in range(3)]
    reader = ExpertStore.open(place)
    assert [entry.id for entry in reader.ls()] == ids
    assert reader.get(ids[1][:12]).bundle().arrays.keys() == make_bundle(1).arrays.keys()
    assert reader.compact() is not None
    fresh = ExpertStore.open(place)
    assert [entry.id for entry in fresh.ls()] == ids and not fresh.problems
    fresh.retract(ids[0], "wrong reward")
    assert [entry.id for entry in fresh.ls()] == ids[1:]
    report = fresh.verify()
    assert report.ok and (report.entries, report.retracted) == (3, 1)


@EVERYWHERE
def test_a_collection_removes_orphans_and_nothing_else(place, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(place)
    kept, gone = (store.publish(make_bundle(seed), make_fields(seed=seed)) for seed in range(2))
    lost = store.get(gone).manifest.blob.sha256
    backend = backend_at(place)
    backend.put(blob_key("0" * 64), b"orphan")
    assert store.gc().blobs == 0
    store.retract(gone, "wrong reward")
    later = store._backend.now() + 2 * 86_400
    monkeypatch.setattr(type(backend), "now", lambda self: later)
    report = store.gc()
    assert (report.blobs, report.restored) == (2, 0)
    assert backend.size(blob_key(lost)) is None
    assert store.get(kept).bundle().spec.kind == "mlp" and store.verify().ok


@EVERYWHERE
def test_a_probe_says_what_a_storage_can_do_and_leaves_nothing(backend, place):
    found = probe(backend)
    assert found.writable and found.publishing and found.reads_back and found.lists and found.deletes
    assert found.put_if_absent == found.tags == (not ("s3:" in place and _ignores_conditions(backend)))
    assert abs(found.clock_ahead_s) < 60
    assert backend.list("tmp/") == []


def _ignores_conditions(backend: Backend) -> bool:
    backend.put("tmp/x", b"first")
    backend.put_if_absent("tmp/x", b"second")
    replaced = backend.get("tmp/x", 10) == b"second"
    backend.delete("tmp/x")
    return replaced


@pytest.mark.parametrize("place", ["s3rver"], indirect=True)
def test_tags_are_refused_where_creations_replace_what_is_there(place, make_bundle, make_fields):
    store = ExpertStore.init(place)
    entry_id = store.publish(make_bundle(), make_fields())
    assert not store.probe().put_if_absent
    assert any("ignores If-None-Match" in line for line in store.probe().words())
    with pytest.raises(StoreError, match=r"cannot keep tags: its endpoint ignores If-None-Match"):
        store.tag("deployed", entry_id)
    assert store.tags() == {} and store.verify().ok


@CONDITIONAL
def test_tags_move_where_the_first_creation_stays(place, make_bundle, make_fields):
    store = ExpertStore.init(place)
    first, second = (store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(2))
    store.tag("deployed", first)
    store.tag("deployed", second)
    assert ExpertStore.open(place).get("deployed").id == second
    assert len(store._backend.list("tags/deployed/")) == 2


@pytest.mark.parametrize(
    ("where", "location"),
    [
        ("s3://team/a/b", S3Location("team", "a/b")),
        ("s3://team/a/b/", S3Location("team", "a/b")),
        ("s3://team", S3Location("team", "")),
        ("file:///x/y%20z", Path("/x/y z")),
        ("/x/y", Path("/x/y")),
    ],
)
def test_places_are_read_in_one_way(where, location):
    assert parse_location(where) == location
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    "where", ["s3://", "s3:///x", "s3://team/../x", "s3://team//x", "s3://team/x?y=1", "s3://te am/x"]
)
def test_urls_that_name_no_place_are_refused(where):
    with pytest.raises(StoreError, match="no place for a store"):
        parse_location(where)


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str, **more: str) -> None:
    values = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", **more}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_a_host_that_does_not_answer_is_told_within_seconds(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_to(monkeypatch, f"http://127.0.0.1:{port}")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=rf"http://127\.0\.0\.1:{port} does not answer .*check host"):
        ExpertStore.open("s3://team/store")
    assert time.monotonic() - begun < 60  # an upper bound on waiting, not on speed


def test_a_missing_bucket_is_told_from_a_missing_store(moto_server, monkeypatch):
    point_to(monkeypatch, moto_server.endpoint)
    for call in (ExpertStore.open, ExpertStore.init):
        with pytest.raises(StoreError, match="there is no bucket 'nobody'"):
            call("s3://nobody/store")
    with pytest.raises(StoreError, match="roamrl store init s3://team/none"):
        ExpertStore.open("s3://team/none")


def test_credentials_that_are_not_accepted_are_told(s3rver, monkeypatch):
    point_to(monkeypatch, s3rver.endpoint, AWS_ACCESS_KEY_ID="stranger")
    with pytest.raises(StoreError, match=r"credentials are not accepted \(InvalidAccessKeyId\); set AWS_ACCESS"):
        ExpertStore.open("s3://team/store")


def test_half_of_the_credentials_is_told(monkeypatch):
    point_to(monkeypatch, "http://127.0.0.1:1", AWS_SECRET_ACCESS_KEY="")
    with pytest.raises(StoreError, match="only half of the credentials"):
        ExpertStore.open("s3://team/store")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "ftp://host", "http://"])
def test_an_endpoint_that_is_no_url_is_told(monkeypatch, endpoint):
    point_to(monkeypatch, endpoint)
    with pytest.raises(StoreError, match="is no URL"):
        ExpertStore.open("s3://team/store")


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Answers reads with what it is told to, and refuses writes."""

    def do_GET(self) -> None:
        self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")

    do_DELETE = do_PUT

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def refusing(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        yield ObjectBackend(S3Location("team", "store"))
        server.shutdown()


def test_a_bucket_that_takes_no_writes_is_read_only(refusing):
    with pytest.raises(StoreReadOnlyError, match=r"cannot write blobs/x in s3://team/store: access is denied"):
        refusing.put("blobs/x", b"")
    found = probe(refusing)
    assert not found.writable and not found.tags and "AccessDenied" in found.reason
    assert found.words()[0].startswith("read-only: ")


@pytest.mark.parametrize(
    ("errno", "kind"), [(30, StoreReadOnlyError), (28, StoreReadOnlyError), (116, StoreUnavailableError)]
)
def test_folders_that_are_full_read_only_or_away_are_told_apart(tmp_path, monkeypatch, errno, kind):
    backend = FolderBackend(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(errno, "told by the test")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(kind, match="told by the test"):
        backend.put("blobs/x", b"x")
