"""The log of a job: after a broken connection it goes on where it was; a fault of the output is no such break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from roamrl.cluster import jobs
from roamrl.cluster.jobs import JobClient

PIECES = ("one ", "two ", "three")


class Cluster:
    """Ray's client of one job, whose first connection breaks after a while."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.breaks_after = breaks_after
        self.connections = 0

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        self.connections += 1
        for number, piece in enumerate(PIECES):
            if self.connections == 1 and number == self.breaks_after:
                raise RuntimeError("connection reset")
            yield piece

    def get_job_info(self, job_id: str) -> SimpleNamespace:
        known = {"message": "", "entrypoint": "", "start_time": 1, "end_time": 2, "metadata": {}}
        return SimpleNamespace(submission_id=job_id, status=SimpleNamespace(value="SUCCEEDED"), **known)

    def get_job_logs(self, job_id: str) -> str:
        return "".join(PIECES)


def client_of(cluster: Cluster) -> JobClient:
    client = JobClient.__new__(JobClient)
    client.url, client._client = "http://head:8265", cluster
    return client


@pytest.mark.parametrize("breaks_after", [None, 0, 1, 2])
def test_a_broken_connection_loses_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, breaks_after: int | None
) -> None:
    monkeypatch.setattr(jobs, "_POLL_S", 0.0)
    cluster = Cluster(breaks_after)
    said: list[str] = []
    assert client_of(cluster).follow("a-job", said.append).over
    assert "".join(said) == "one two three"
    assert cluster.connections == (1 if breaks_after is None else 2)


def test_output_that_is_gone_ends_the_following_at_once() -> None:
    cluster = Cluster()

    def closed(text: str) -> None:
        raise BrokenPipeError("the reader is gone")

    with pytest.raises(BrokenPipeError):
        client_of(cluster).follow("a-job", closed)
    assert cluster.connections == 1
