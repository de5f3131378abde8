"""Mistakes with clusters and jobs are said in a line, before anything is sent or started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ROAMRL_STATE_DIR", "XDG_STATE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["submit", "quick"], 1, "roamrl cluster start"),
        (["submit", "quick", "--address", "nowhere"], 1, "http://10.0.0.1:8265"),
        (["submit", "quick", "--address", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1"),
        (["jobs", "ls", "--address", "127.0.0.1:1"], 1, "http://127.0.0.1:1"),
        (["cluster", "stop", "head-1"], 2, "head-1"),
        (["cluster", "start", "--worker-ports", "all"], 2, "10002-10999"),
        (["cluster", "start", "--join", "http://head:8265"], 1, "host:port"),
        (["cluster", "manifests", "there", "--image", "no image"], 1, "no image"),
    ],
)
def test_a_mistake_is_one_message(
    arguments: list[str], code: int, said: str, roamrl: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = roamrl(*arguments)
    assert answer.code == code
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert answer.out == ""
    assert not (tmp_path / "there").exists()


def test_where_nothing_runs_there_is_nothing_to_stop(roamrl: Callable) -> None:
    assert roamrl("cluster", "status", "--json").out == "[]\n"
    assert "roamrl cluster start" in roamrl("cluster", "status").out
    assert roamrl("cluster", "stop").code == 0


def test_the_doctor_ends_with_1_if_something_is_wrong(roamrl: Callable, own_home: Path) -> None:
    good = roamrl("doctor", "--json")
    assert good.code == 0
    assert {check["name"]: check["verdict"] for check in json.loads(good.out)}["versions"] == "ok"
    (own_home / ".ray").mkdir()
    (own_home / ".ray" / "auth_token").write_text("ab" * 32)
    (own_home / ".ray" / "auth_token").chmod(0o644)
    bad = roamrl("doctor")
    assert bad.code == 1
    assert "chmod 600" in bad.out
    assert max(len(line) for line in bad.lines if "/" not in line) <= 80
