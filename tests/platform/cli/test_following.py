"""Leaving a job and stopping it, whenever the second interrupt comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import typer

from roamrl.cluster.jobs import Job
from roamrl.platform.cli import following


@dataclass
class Cluster:
    """Stands for a cluster's jobs; following ends as it is told to."""

    end: Callable[[], Job]
    url: str = "http://10.0.0.1:8265"
    stopped: list[str] = field(default_factory=list)

    def follow(self, job_id: str, write: Callable[[str], object]) -> Job:
        write("stage pretrain\n")
        return self.end()

    def stop(self, job_id: str) -> bool:
        self.stopped.append(job_id)
        return True


def interrupt(*_: object) -> Job:
    raise KeyboardInterrupt


def ended(status: str) -> Callable[[], Job]:
    return lambda: Job("mine-1", status, "no room\nand more", "python", 1.0, 2.0, {})


def follow(cluster: Cluster) -> int:
    with pytest.raises(typer.Exit) as left:
        following.follow_job(cluster, "mine-1")  # type: ignore[arg-type]
    return left.value.exit_code


def test_one_interrupt_leaves_the_job_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "SECOND_CHANCE_S", 0.0)
    cluster = Cluster(interrupt)
    assert follow(cluster) == 130
    assert cluster.stopped == []
    said = capsys.readouterr()
    assert said.out == "stage pretrain\n"
    assert "roamrl jobs logs mine-1 --follow --address http://10.0.0.1:8265" in said.err


def test_a_second_interrupt_stops_it_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following.time, "sleep", interrupt)
    cluster = Cluster(interrupt)
    assert follow(cluster) == 130
    assert cluster.stopped == ["mine-1"]


def test_a_second_interrupt_stops_it_while_the_first_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = following.say_error

    def interrupted_once(text: str) -> None:
        monkeypatch.setattr(following, "say_error", answer)
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "say_error", interrupted_once)
    cluster = Cluster(interrupt)
    assert follow(cluster) == 130
    assert cluster.stopped == ["mine-1"]


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
def test_a_job_that_did_not_succeed_is_code_1_with_its_reason(status: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Cluster(ended(status))) == 1
    assert f"job mine-1 {status.lower()}: no room\n" in capsys.readouterr().err


def test_a_job_that_succeeded_is_given_back() -> None:
    assert following.follow_job(Cluster(ended("SUCCEEDED")), "mine-1").id == "mine-1"  # type: ignore[arg-type]
