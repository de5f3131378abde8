"""The token file of a local session."""

from __future__ import annotations

import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from roamrl.cluster.auth_token import prepare_token, protect_token
from roamrl.cluster.errors import ClusterError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_token_is_for_its_owner_alone(home: Path) -> None:
    path = prepare_token()
    assert path == home / ".ray" / "auth_token"
    assert mode(path) == 0o600
    assert len(bytes.fromhex(path.read_text())) == 32
    assert [found.name for found in path.parent.iterdir()] == ["auth_token"]


def test_a_token_that_is_there_stays_and_is_tightened(home: Path) -> None:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("ab" * 32)
    path.chmod(0o644)
    assert prepare_token() == path
    assert path.read_text() == "ab" * 32
    assert mode(path) == 0o600


def test_an_empty_file_gets_a_token(home: Path) -> None:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.touch(mode=0o644)
    prepare_token()
    assert len(path.read_text()) == 64
    assert mode(path) == 0o600


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "cd" * 32), ("RAY_AUTH_MODE", "disabled")])
def test_no_file_is_made_where_ray_would_not_read_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert prepare_token() is None
    assert not (home / ".ray").exists()


def test_a_named_file_is_used_and_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = home / "mine"
    named.write_text("ef" * 32)
    named.chmod(0o640)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    assert prepare_token() is None
    assert mode(named) == 0o640
    assert not (home / ".ray").exists()


def test_a_named_file_that_is_missing_is_an_error_that_names_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nowhere"))
    with pytest.raises(ClusterError, match="nowhere"):
        prepare_token()


def test_a_home_that_cannot_hold_the_file_is_an_error_that_names_it(home: Path) -> None:
    (home / ".ray").write_text("in the way")
    with pytest.raises(ClusterError, match="auth_token"):
        prepare_token()


def test_protecting_leaves_a_strict_file_alone(home: Path) -> None:
    path = home / "token"
    path.write_text("x")
    path.chmod(0o400)
    protect_token(path)
    assert mode(path) == 0o400


def read_token(_: int) -> str:
    path = prepare_token()
    assert path is not None
    return path.read_text()


def test_processes_that_start_at_once_agree_on_one_token(home: Path) -> None:
    with get_context("fork").Pool(8) as pool:
        seen = set(pool.map(read_token, range(32), chunksize=1))
    assert len(seen) == 1
    assert len(seen.pop()) == 64
