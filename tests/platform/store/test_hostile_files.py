"""What a reader, a writer and a collector make of a store whose files are links, pipes or documents that lie."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from roamrl.envs.canonical import canonical_json
from roamrl.platform.cli.main import main
from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.entry import encode_entry, manifest_id
from roamrl.platform.store.layout import blob_key, signature_key, tombstone_key
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.publish import stamp

LIMITS = Limits()
EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody's beside the store."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    os.utime(folder / "diary.txt", (0, 0))
    return folder


def test_a_collector_does_not_remove_what_a_link_leads_to(store, outside, make_bundle, make_fields):
    store.publish(make_bundle(), make_fields())
    root = Path(store.location)
    for name in ("tmp", "trash", "index", "blobs"):
        place = root / name
        if place.exists():
            place.rename(root.parent / f"was-{name}")
        place.symlink_to(outside, target_is_directory=True)
        with pytest.raises(StoreError, match="symbolic link, which leads out of the store"):
            store.gc(0.0)
        assert (outside / "diary.txt").read_text() == "mine"
        place.unlink()
        if (root.parent / f"was-{name}").exists():
            (root.parent / f"was-{name}").rename(place)
    assert store.gc(0.0).blobs == 0


def test_nothing_is_written_through_a_link(store, outside, make_bundle, make_fields):
    root = Path(store.location)
    (root / "blobs").mkdir(exist_ok=True)
    (root / "blobs" / "sha256").symlink_to(outside, target_is_directory=True)
    with pytest.raises(StoreError, match="symbolic link"):
        store.publish(make_bundle(), make_fields())
    assert sorted(path.name for path in outside.iterdir()) == ["diary.txt"]


def test_a_weight_file_that_is_a_link_is_not_read(store, tmp_path, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    path = Path(store.location) / blob_key(expert.manifest.blob.sha256)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        expert.bundle()
    assert "symbolic link" in store.verify().problems[0].message


@pytest.mark.timeout(30)
@pytest.mark.parametrize("what", ["link", "pipe", "folder", "device"])
def test_what_is_no_file_in_an_entrys_place_is_a_problem_and_hides_nothing_else(store, make_bundle, make_fields, what):
    good, bad = (store.publish(make_bundle(), make_fields(seed=seed)) for seed in (1, 2))
    (path,) = Path(store.location).glob(f"entries/*/{bad}.json")
    elsewhere = Path(store.location).parent / "entry.json"
    path.rename(elsewhere)
    {
        "link": lambda: path.symlink_to(elsewhere),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
    }[what]()
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == [good]
    assert what == "folder" or [bad in problem.key for problem in fresh.problems] == [True]
    with pytest.raises(StoreError):
        fresh.get(bad)


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', '{"a":{"b":[{"c":1,"c":1}]}}', '{"a":1,"\\u0061":1}', '[{"":0,"":0}]'], ids=str
)
def test_a_name_that_stands_twice_is_refused(text):
    with pytest.raises(StoreError, match="stands twice in a map"):
        read_json(text.encode(), "a document", LIMITS)


@EVERYWHERE
def test_an_entry_whose_manifest_says_two_things_is_refused(place, honest, make_bundle, make_fields):
    store = ExpertStore.init(place)
    good = store.publish(make_bundle(), make_fields(seed=9))
    content = canonical_json(honest[0])
    double = content.replace(b'"strategy":"scratch"', b'"strategy":"joint","strategy":"scratch"')
    assert double != content
    key = f"entries/20250101/{manifest_id(double)}.json"
    store._backend.put(key, encode_entry(double, stamp("stranger")))
    fresh = ExpertStore.open(place)
    assert [entry.id for entry in fresh.ls()] == [good]
    assert [(problem.key, "stands twice" in problem.message) for problem in fresh.problems] == [(key, True)]


@EVERYWHERE
@pytest.mark.parametrize("what", ["deep", "large", "flipped", "list"])
def test_documents_that_no_publisher_wrote_are_problems_everywhere(place, honest, what):
    store = ExpertStore.init(place)
    content = canonical_json(honest[0])
    whole = encode_entry(content, stamp("stranger"))
    data = {
        "deep": b'{"envelope":' + b"[" * 100_000 + b"]" * 100_000 + b',"manifest":{}}',
        "large": whole + b" " * 1_000_000,
        "flipped": whole.replace(b'"seed":3', b'"seed":2'),
        "list": b"[]",
    }[what]
    key = f"entries/20250101/{manifest_id(content)}.json"
    store._backend.put(key, data)
    said = {"deep": "nested", "large": "at most 1000000", "flipped": "was changed", "list": "is not"}[what]
    fresh = ExpertStore.open(place)
    assert fresh.ls() == [] and [problem.key for problem in fresh.problems] == [key]
    assert said in fresh.problems[0].message and said in fresh.verify().problems[0].message


@EVERYWHERE
@pytest.mark.parametrize(
    "value", ["../../../etc/passwd", "/etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "", "a/b"]
)
def test_a_digest_in_a_document_that_leads_elsewhere_is_refused(place, honest, value):
    store = ExpertStore.init(place)
    content = canonical_json({**honest[0], "blob": {"sha256": value, "size": 10}})
    store._backend.put(f"entries/20250101/{manifest_id(content)}.json", encode_entry(content, stamp("stranger")))
    tag = {"entry_id": value, "envelope": {"published": "2025", "publisher": "stranger"}}
    store._backend.put("tags/deployed/00000001.json", canonical_json(tag))
    fresh = ExpertStore.open(place)
    assert fresh.ls() == [] and "blob.sha256" in fresh.problems[0].message
    with pytest.raises(StoreError, match="tag 'deployed': entry_id"):
        fresh.get("deployed")
    assert {problem.key for problem in fresh.verify().problems} >= {"tags/deployed"}


@EVERYWHERE
@pytest.mark.parametrize("key", ["../x", "entries/../../x", "/etc/passwd", "entries//x", ".hidden", "a\0b", "a b", ""])
def test_keys_that_lead_elsewhere_are_refused_by_every_backend(place, key):
    ExpertStore.init(place)
    backend = backend_at(place)
    for ask in (lambda: backend.get(key, 10), lambda: backend.put(key, b"x"), lambda: backend.delete(key)):
        with pytest.raises(StoreError, match="cannot name an object"):
            ask()


@EVERYWHERE
@pytest.mark.parametrize("name", ["../x", "/x", "a/b", ".", "..", "", "A", "x" * 65, "abcd", "a\n", "-x", "é"])
def test_tags_that_lead_elsewhere_are_refused(place, name, make_bundle, make_fields):
    store = ExpertStore.init(place)
    entry_id = store.publish(make_bundle(), make_fields())
    with pytest.raises(StoreError, match="cannot be a tag"):
        store.tag(name, entry_id)
    assert store.tags() == {}


@pytest.mark.parametrize("key_of", [blob_key, tombstone_key, lambda text: signature_key(text, "a" * 64)])
@pytest.mark.parametrize("text", ["../" + "a" * 61, "a" * 63 + "/", "a" * 64 + "\n", "\uff41" * 64])
def test_keys_are_made_of_ids_alone(key_of, text):
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        key_of(text)


def test_what_a_stranger_wrote_does_not_steer_the_terminal(store, honest, plant, capsys):
    manifest, blob = honest
    sly = "\x1b]0;owned\x07\x1b[2J\r\u202etxt"
    scores = {sly: {"mean": 0.5, "low": 0.4, "high": 0.6}}
    stranger = {**manifest, "strategy": sly, "study": sly, "family": sly, "scores": scores}
    entry_id = plant(store, stranger, blob)
    for command in (["ls"], ["show", entry_id], ["show", entry_id, "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["store", *command, "--store", store.location])
        said = capsys.readouterr()
        assert not ended.value.code and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said.out + said.err)
    assert json.loads(said.out)["manifest"]["strategy"] == sly
