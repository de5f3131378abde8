"""Opening a store; tags and retractions."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.publish import stamp
from roamrl.platform.store.tags import move_tag


def test_a_store_is_made_once_and_opened_by_path_or_url(tmp_path, make_bundle, make_fields):
    folder = tmp_path / "with space" / "store"
    entry_id = ExpertStore.init(folder).publish(make_bundle(), make_fields())
    for where in (folder, str(folder), folder.as_uri(), f"file://localhost{folder.as_uri()[7:]}"):
        assert [entry.id for entry in ExpertStore.open(where).ls()] == [entry_id]
    assert ExpertStore.init(folder).ls()[0].id == entry_id
    assert json.loads((folder / "store.json").read_text()) == {"format": "roamrl-store", "version": 1}


@pytest.mark.parametrize("where", ["s3://", "file://host/store", "http://x", "", "a\0b", "file:relative"])
def test_places_that_are_no_folder_are_refused(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"no place for a store|no expert store"):
        ExpertStore.open(where)


def test_a_missing_store_says_how_to_make_one(tmp_path):
    with pytest.raises(StoreError, match=f"roamrl store init {tmp_path}"):
        ExpertStore.open(tmp_path)


def test_other_peoples_folders_and_other_formats_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"other things \(thesis.tex\)"):
        ExpertStore.init(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        ExpertStore.init(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store.json").write_text('{"format":"roamrl-store","version":2}')
    with pytest.raises(StoreError, match="version': 2"):
        ExpertStore.open(tmp_path / "newer")


def test_a_tag_moves_and_keeps_its_history(store, make_bundle, make_fields):
    first, second = (store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(2))
    store.tag("deployed", first)
    assert store.get("deployed").id == first
    store.tag("deployed", second[:10])
    assert store.get("deployed").id == second and store.tags() == {"deployed": second}
    assert len(list((Path(store.location) / "tags" / "deployed").iterdir())) == 2
    store.tag("stable", "deployed")
    assert store.tags() == {"deployed": second, "stable": second}
    assert store.verify().tags == 2 and store.verify().ok


@pytest.mark.parametrize("name", ["../x", "Upper", "", "deadbeef", "a" * 64, "x" * 65, "-x", "a b", "a/b"])
def test_names_that_cannot_be_tags_are_refused(store, make_bundle, make_fields, name):
    entry_id = store.publish(make_bundle(), make_fields())
    with pytest.raises(StoreError, match="cannot be a tag"):
        store.tag(name, entry_id)
    assert store.tags() == {}


def test_an_unknown_tag_names_those_there_are(store, make_bundle, make_fields):
    store.tag("deployed", store.publish(make_bundle(), make_fields()))
    with pytest.raises(StoreError, match="no expert has the tag 'deploied'; known tags: deployed"):
        store.get("deploied")


def test_every_move_of_a_tag_is_kept_when_many_move_it_at_once(store, make_bundle, make_fields):
    ids = [store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(8)]
    backend = FolderBackend(Path(store.location))
    threads = [
        threading.Thread(target=move_tag, args=(backend, "deployed", entry_id, stamp("tester"))) for entry_id in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = sorted((Path(store.location) / "tags" / "deployed").iterdir())
    assert {json.loads(path.read_text())["entry_id"] for path in moves} == set(ids)
    assert [path.name for path in moves] == [f"{number:08d}.json" for number in range(1, 9)]


def test_a_retracted_expert_is_shown_no_more_and_cannot_come_back(store, make_bundle, make_fields):
    kept, gone = (store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(2))
    store.tag("deployed", gone)
    store.compact()
    store.retract(gone, "trained on the test split")
    for reader in (store, ExpertStore.open(store.location)):
        assert [entry.id for entry in reader.ls()] == [kept]
        assert [near.entry.id for near in reader.nearest([0.8, 0.2], "slicing-v1", k=5)] == [kept]
        for reference in (gone, gone[:12], "deployed"):
            with pytest.raises(StoreError, match="was retracted"):
                reader.get(reference)
    with pytest.raises(StoreError, match="was retracted and stays so"):
        store.publish(make_bundle(), make_fields(seed=1))
    assert [problem.key for problem in store.verify().problems] == ["tags/deployed"]


def test_a_damaged_tag_is_a_problem(store, make_bundle, make_fields):
    store.tag("deployed", store.publish(make_bundle(), make_fields()))
    (path,) = (Path(store.location) / "tags" / "deployed").iterdir()
    path.write_text('{"entry_id": "../../x"}')
    with pytest.raises(StoreError, match="tag 'deployed'"):
        store.get("deployed")
    assert [problem.key for problem in store.verify().problems] == ["tags/deployed"]
