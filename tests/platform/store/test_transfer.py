"""Copies between stores: what comes over, what is left alone, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore, StoreError, StoreUnavailableError
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.transfer import TransferReport

EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server", "s3rver"], indirect=True)


@pytest.fixture
def source(tmp_path, make_bundle, make_fields, make_signer):
    store = ExpertStore.init(tmp_path / "source")
    ids = [store.publish(make_bundle(seed // 2), make_fields(seed=seed), publisher="her") for seed in range(4)]
    store.get(ids[1]).sign(make_signer())
    return store, ids


@EVERYWHERE
def test_entries_come_over_with_their_weights_signatures_and_envelopes(source, place):
    store, ids = source
    target = ExpertStore.init(place)
    size = store.entry(ids[0]).manifest.blob.size
    assert store.copy_to(target) == TransferReport(copied=4, bytes=4 * size, signatures=1)
    assert [target.entry(entry_id) for entry_id in ids] == [store.entry(entry_id) for entry_id in ids]
    assert target.verify().ok and target.verify().blobs == 2
    assert target.get(ids[1]).signatures() == store.get(ids[1]).signatures()
    assert store.copy_to(target) == TransferReport(there=4)
    back = ExpertStore.init(Path(store.location).parent / "back")
    assert target.copy_to(back, [ids[1][:12]]).copied == 1
    assert back.ls() == [store.entry(ids[1])] and len(back.get(ids[1]).signatures()) == 1


def test_what_a_copy_left_half_done_is_made_whole(source, tmp_path):
    store, ids = source
    target = ExpertStore.init(tmp_path / "target")
    store.copy_to(target)
    blob = blob_key(store.entry(ids[0]).manifest.blob.sha256)
    target._backend.delete(blob)
    report = store.copy_to(target)
    assert (report.copied, report.there) == (1, 3) and target.verify().ok
    target._backend.put(blob, b"cut off")
    assert store.copy_to(target).copied == 1 and target.verify().ok


def test_retracted_experts_do_not_come_over(source, tmp_path):
    store, ids = source
    target = ExpertStore.init(tmp_path / "target")
    store.copy_to(target)
    target.retract(ids[0], "wrong reward")
    store.retract(ids[1], "wrong reward")
    report = store.copy_to(target)
    assert (report.copied, report.there, report.retracted) == (0, 2, 1)
    assert [entry.id for entry in target.ls()] == ids[1:]
    with pytest.raises(StoreError, match="was retracted"):
        store.copy_to(target, [ids[1]])


def test_damage_is_found_on_the_way_and_goes_no_further(source, tmp_path):
    store, ids = source
    target = ExpertStore.init(tmp_path / "target")
    key = blob_key(store.entry(ids[3]).manifest.blob.sha256)
    data = store._backend.get(key, 10**6)
    store._backend.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match="was changed after it was published"):
        store.copy_to(target, [ids[3]])
    assert target.ls() == [] and target._backend.list("blobs/") == []
    store._backend.delete(key)
    with pytest.raises(StoreError, match="leave it out"):
        store.copy_to(target, [ids[3]])
    assert store.copy_to(target, ids[:2]).copied == 2


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_a_catalogue_that_could_not_be_read_to_the_end_stays_as_it_was(place, make_bundle, make_fields):
    store, writer = ExpertStore.init(place), ExpertStore.open(place)
    first = writer.publish(make_bundle(), make_fields())
    assert [entry.id for entry in store.ls()] == [first]
    writer.publish(make_bundle(), make_fields(seed=4))
    writer.compact()
    backend = store._backend
    listing = backend.list

    def breaks_off(prefix: str) -> list[str]:
        if prefix == "tombstones/":
            raise StoreUnavailableError("told by the test")
        return listing(prefix)

    backend.list = breaks_off
    with pytest.raises(StoreUnavailableError):
        store.refresh()
    assert [entry.id for entry in store.ls()] == [first] and store.get(first).bundle().spec.kind == "mlp"
    del backend.list
    store.refresh()
    assert len(store.ls()) == 2
