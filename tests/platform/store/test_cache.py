"""Weights kept on the node: fetched once, checked once, bounded, and never trusted when cut off."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.cache import BlobCache
from roamrl.platform.store.manifest import Blob

REMOTE = pytest.mark.parametrize("place", ["moto_server"], indirect=True)


def blob_of(data: bytes) -> Blob:
    return Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


class Source:
    """A store that counts how often it is asked."""

    def __init__(self, data: bytes) -> None:
        self.data, self.asked = data, 0

    def __call__(self) -> bytes:
        self.asked += 1
        return self.data


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "blobs", 100)


def kept(cache: BlobCache) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in cache.folder.glob("*/*")}


def test_a_blob_is_fetched_once(cache):
    source = Source(b"weights")
    blob = blob_of(source.data)
    assert [cache.read(blob, source) for _ in range(3)] == [b"weights"] * 3
    assert source.asked == 1 and kept(cache) == {blob.sha256: 7}


def test_a_truncated_file_is_fetched_anew(cache):
    source = Source(b"weights")
    blob = blob_of(source.data)
    cache.read(blob, source)
    (path,) = cache.folder.glob("*/*")
    path.write_bytes(b"weig")
    assert cache.read(blob, source) == b"weights" and source.asked == 2
    assert path.read_bytes() == b"weights"


def test_what_is_not_the_blob_is_refused_and_not_kept(cache):
    blob = blob_of(b"weights")
    for wrong in (b"weighty", b"weigh", b""):
        with pytest.raises(StoreError, match="was changed after it was published"):
            cache.read(blob, Source(wrong))
    assert kept(cache) == {}


def test_the_oldest_used_go_first_when_it_is_full(cache):
    blobs = [Source(bytes([number]) * 30) for number in range(3)]
    for number, source in enumerate(blobs):
        blob = blob_of(source.data)
        cache.read(blob, source)
        os.utime(cache.folder / blob.sha256[:2] / blob.sha256, (number, number))
    cache.read(blob_of(blobs[0].data), blobs[0])  # used again: the second is the oldest now
    more = Source(b"x" * 30)
    cache.read(blob_of(more.data), more)
    assert set(kept(cache)) == {blob_of(source.data).sha256 for source in (blobs[0], blobs[2], more)}
    large = Source(b"y" * 101)
    assert cache.read(blob_of(large.data), large) == large.data
    assert len(kept(cache)) == 3


def test_leftovers_of_killed_processes_go(cache):
    source = Source(b"weights")
    folder = cache.folder / blob_of(source.data).sha256[:2]
    folder.mkdir(parents=True)
    (folder / ".old").write_bytes(b"half")
    (folder / ".young").write_bytes(b"half")
    os.utime(folder / ".old", (0, 0))
    cache.read(blob_of(source.data), source)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".young"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache, source = BlobCache(tmp_path / "file" / "blobs", 100), Source(b"weights")
    assert [cache.read(blob_of(source.data), source) for _ in range(2)] == [b"weights"] * 2
    assert source.asked == 2
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 1


FETCHER = """
import sys, time
from pathlib import Path
from roamrl.platform.store.cache import BlobCache
from roamrl.platform.store.manifest import Blob
def fetch():
    with open(sys.argv[2], "a") as file:
        file.write("asked\\n")
    time.sleep(0.5)
    return b"weights"
print(BlobCache(Path(sys.argv[1]), 100).read(Blob(sha256=sys.argv[3], size=7), fetch).decode())
"""


def test_processes_of_a_node_fetch_a_blob_once_among_them(cache, tmp_path):
    arguments = [str(cache.folder), str(tmp_path / "asked"), blob_of(b"weights").sha256]
    processes = [
        subprocess.Popen([sys.executable, "-c", FETCHER, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["weights"] * 4
    assert (tmp_path / "asked").read_text() == "asked\n"


@REMOTE
def test_weights_of_a_bucket_are_had_from_the_node_when_it_is_away(place, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(place)
    bundle = make_bundle()
    entry_id = store.publish(bundle, make_fields())
    assert ExpertStore.open(place).get(entry_id).bundle().arrays.keys() == bundle.arrays.keys()
    expert = store.get(entry_id)
    monkeypatch.setattr(type(store._backend), "get", lambda *arguments: pytest.fail("asked the store"))
    loaded = expert.bundle()
    assert {name: array.tobytes() for name, array in loaded.arrays.items()} == {
        name: array.tobytes() for name, array in bundle.arrays.items()
    }


@REMOTE
def test_a_changed_blob_in_a_bucket_is_refused_with_a_cold_cache(place, make_bundle, make_fields):
    store = ExpertStore.init(place)
    expert = store.get(store.publish(make_bundle(), make_fields()))
    key = f"blobs/sha256/{expert.manifest.blob.sha256[:2]}/{expert.manifest.blob.sha256}"
    store._backend.put(key, b"x" * expert.manifest.blob.size)
    with pytest.raises(StoreError, match="was changed after it was published"):
        expert.bundle()
    assert not store.verify().ok


def test_a_folders_weights_are_not_kept_twice(store, make_bundle, make_fields, tmp_path):
    store.get(store.publish(make_bundle(), make_fields())).bundle()
    assert not (tmp_path / "cache").exists()


def test_the_environment_says_where_and_how_much(monkeypatch, tmp_path):
    cache = BlobCache.of_node()
    assert cache == BlobCache(tmp_path / "cache" / "blobs", 10_000_000_000)
    monkeypatch.setenv("ROAMRL_CACHE_GB", "0.5")
    assert BlobCache.of_node() == BlobCache(tmp_path / "cache" / "blobs", 500_000_000)
    monkeypatch.setenv("ROAMRL_CACHE_GB", "0")
    assert BlobCache.of_node() is None
    for text in ("many", "nan", "inf"):
        monkeypatch.setenv("ROAMRL_CACHE_GB", text)
        with pytest.raises(StoreError, match="no number of gigabytes"):
            BlobCache.of_node()
