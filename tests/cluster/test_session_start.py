"""Ray that does not come up here is told as such, whatever type of error Ray has for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.session import ray_session


class Surprise(Exception):
    """An error nobody foresaw."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Let ``ray.init`` fail in a given way."""
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def fail_with(error: Exception) -> None:
        def init(**_: object) -> None:
            raise error

        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", init)

    return fail_with


def test_a_machine_too_busy_for_ray_is_told(failing) -> None:
    failing(Exception("The current node timed out during startup."))
    with pytest.raises(ClusterError, match=r"timed out during startup\. If the machine is busy, run the same again"):
        with ray_session(address="local"):
            pass


def test_what_is_no_failure_to_start_is_not_passed_off_as_one(failing) -> None:
    failing(Surprise("a bug"))
    with pytest.raises(Surprise):
        with ray_session(address="local"):
            pass
