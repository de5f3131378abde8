"""Index snapshots that are damaged, old, foreign or ahead of the entries."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from roamrl.platform.store import ExpertStore


def snapshots(store: ExpertStore) -> list[Path]:
    return sorted((Path(store.location) / "index").iterdir(), key=lambda path: path.stat().st_mtime)


def test_an_empty_store_has_nothing_to_compact(store):
    assert store.compact() is None
    assert store.ls() == [] and store.verify().ok


def test_a_snapshot_is_named_by_its_content(store, make_bundle, make_fields):
    store.publish(make_bundle(), make_fields())
    key = store.compact()
    (path,) = snapshots(store)
    assert key == f"index/{hashlib.sha256(path.read_bytes()).hexdigest()}.parquet"
    assert store.compact() == key


def test_a_damaged_snapshot_gives_way_to_the_one_before_it(store, make_bundle, make_fields):
    ids = []
    for seed in range(3):
        ids.append(store.publish(make_bundle(), make_fields(seed=seed)))
        if seed < 2:
            store.compact()
            os.utime(snapshots(store)[-1], (seed + 1, seed + 1))
    newest = snapshots(store)[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    os.utime(newest, (2, 2))
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == ids
    assert fresh._catalogue._snapshot is not None and "was changed" in fresh.problems[0].message
    for path in snapshots(store):
        path.write_bytes(b"no parquet")
    assert [entry.id for entry in ExpertStore.open(store.location).ls()] == ids


def test_a_consistent_file_that_is_no_snapshot_is_passed_over(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields())
    buffer = io.BytesIO()
    pq.write_table(pa.table({"entry_id": [entry_id]}), buffer)
    for data in (b"PAR1 but no more", buffer.getvalue()):
        path = Path(store.location) / "index" / f"{hashlib.sha256(data).hexdigest()}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == [entry_id]
    assert sorted(problem.message.split("; ")[-1] for problem in fresh.problems) == [
        "compact anew",
        "remove it and compact anew",
    ]


def test_an_entry_that_only_a_snapshot_knows_is_not_shown(store, make_bundle, make_fields):
    gone, kept = (store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(2))
    store.compact()
    (path,) = Path(store.location).glob(f"entries/*/{gone}.json")
    path.unlink()
    assert [entry.id for entry in ExpertStore.open(store.location).ls()] == [kept]


def test_the_same_id_on_two_days_is_one_entry(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields())
    (path,) = Path(store.location).glob("entries/*/*.json")
    earlier = path.parents[1] / "20200101"
    earlier.mkdir()
    shutil.copy(path, earlier)
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == [entry_id]
    assert fresh.verify().entries == 1


def test_a_check_finds_an_index_that_lies(store, make_bundle, make_fields):
    store.publish(make_bundle(), make_fields())
    store.compact()
    (path,) = snapshots(store)
    table = pq.read_table(path)
    column = table.schema.get_field_index("strategy")
    table = table.set_column(column, table.schema.field(column), pa.array(["oracle"]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    path.unlink()
    (path.parent / f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.parquet").write_bytes(buffer.getvalue())
    fresh = ExpertStore.open(store.location)
    assert len(fresh.find(strategy="oracle")) == 1
    report = fresh.verify()
    assert not report.ok and "['strategy']; compact anew" in report.problems[0].message
