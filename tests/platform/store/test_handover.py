"""Experts handed to Ray tasks: once in Ray's object store, and from the expert store when Ray has lost them."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest

from roamrl.platform.store.handover import Handover

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def lost(ray, reference) -> bool:
    try:
        ray.get(reference, timeout=30)
    except ray.exceptions.OwnerDiedError:
        return True
    return False


def test_an_expert_is_put_once_and_read_by_tasks_without_the_store(local_ray, store, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(5), make_fields()))
    handover = Handover()
    handed = handover.give(expert)
    assert handover.give(store.get(expert.id)) is handed
    store._backend.delete(f"blobs/sha256/{expert.manifest.blob.sha256[:2]}/{expert.manifest.blob.sha256}")

    @local_ray.remote
    def ask(handed):
        arrays = handed.bundle().arrays
        return {name: np.array(array) for name, array in arrays.items()}, [a.flags.writeable for a in arrays.values()]

    for arrays, writeable in local_ray.get([ask.remote(handed) for _ in range(2)]):
        assert same(arrays, make_bundle(5).arrays) and not any(writeable)


def test_what_ray_lost_with_its_owner_comes_from_the_store(local_ray, store, make_bundle, make_fields, caplog):
    expert = store.get(store.publish(make_bundle(5), make_fields()))

    @local_ray.remote
    class Owner:
        def give(self, expert):
            self.held = Handover()
            return self.held.give(expert)

    owner = Owner.remote()
    handed = local_ray.get(owner.give.remote(expert))
    local_ray.kill(owner)
    until = time.monotonic() + 120
    while not lost(local_ray, handed.reference) and time.monotonic() < until:
        time.sleep(0.5)
    with caplog.at_level(logging.WARNING, "roamrl.platform.store.handover"):
        assert same(handed.bundle().arrays, make_bundle(5).arrays)
    assert "OwnerDiedError" in caplog.text
