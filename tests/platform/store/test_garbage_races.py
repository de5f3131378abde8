"""Collectors beside publishers: each interrupted by the other, or killed, before every single request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roamrl.platform.store import ExpertStore
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.garbage import Collector, GarbageReport
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.publish import publish_entry

LIMITS = Limits()
AT_ONCE_OLD = -3600.0
"""A grace period by which everything is old."""

PLACES = pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)


class Interrupted:
    """A backend on which something happens just before one of its calls."""

    def __init__(self, backend: Backend, at: int, event: Callable[[], object]) -> None:
        self.calls, self.remote = 0, False
        self._backend, self._at, self._event = backend, at, event

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._backend, name)
        if not callable(call):
            return call

        def counted(*arguments: object) -> object:
            self.calls += 1
            if self.calls == self._at:
                self._event()
            return call(*arguments)

        return counted


class Killed(Exception):
    """Stands for SIGKILL: what runs stops where it is."""


def kill() -> None:
    raise Killed


def collect(backend: Backend) -> GarbageReport:
    return Collector(backend, LIMITS, AT_ONCE_OLD).run()


@pytest.fixture
def policy(make_bundle, make_fields):
    """A manifest, its blob, the blob's key, and how it is published."""
    manifest, blob = encode_bundle(make_bundle(), make_fields(), LIMITS)
    return blob, blob_key(manifest.blob.sha256), lambda to: publish_entry(to, LIMITS, manifest, blob, "tester")


def check_whole(place: str, at: int) -> None:
    report = ExpertStore.open(place).verify()
    assert report.ok and (report.entries, report.blobs) == (1, 1), at


@PLACES
def test_a_collection_at_any_moment_of_a_publication_costs_nothing(place, policy):
    blob, key, publish = policy
    at, reached = 0, True
    while reached:
        at += 1
        here = f"{place}/{at}"
        ExpertStore.init(here)
        backend = backend_at(here)
        backend.put(key, blob)
        interrupted = Interrupted(backend, at, lambda backend=backend: collect(backend))
        publish(interrupted)
        check_whole(here, at)
        reached = interrupted.calls >= at
    assert at > 5


@PLACES
def test_a_publication_at_any_moment_of_a_collection_costs_nothing(place, policy):
    blob, key, publish = policy
    at, reached, restored = 0, True, 0
    while reached:
        at += 1
        here = f"{place}/{at}"
        ExpertStore.init(here)
        backend = backend_at(here)
        backend.put(key, blob)
        interrupted = Interrupted(backend, at, lambda backend=backend: publish(backend))
        restored += collect(interrupted).restored
        reached = interrupted.calls >= at
        if reached:
            check_whole(here, at)
    assert at > 10 and restored >= 1


@PLACES
def test_a_collector_killed_at_any_moment_loses_nothing_that_is_referred_to(place, policy):
    blob, key, publish = policy
    at, killed, restored = 0, True, 0
    while killed:
        at += 1
        here = f"{place}/{at}"
        ExpertStore.init(here)
        backend = backend_at(here)
        backend.put(key, blob)
        try:
            collect(Interrupted(backend, at, kill))
            killed = False
        except Killed:
            trashed = backend.list("trash/")
            publish(backend)
            backend.delete(key)  # as if the collector had taken it after the publisher's last look
            if trashed:
                assert ExpertStore.open(here).gc().restored == 1, at
                restored += 1
                check_whole(here, at)
                collect(backend)
                assert backend.list("trash/") == []
                check_whole(here, at)
    assert at > 10 and restored >= 3
