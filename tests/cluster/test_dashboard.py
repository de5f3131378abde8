"""What a dashboard says to a stranger and to one who has the token."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from roamrl.cluster.addresses import dashboard_url, is_host_port, usable_port
from roamrl.cluster.dashboard import answers, ray_version, stranger_status
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.jobs import JobClient


def put_token(home: Path, token: str) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(token)


def test_a_stranger_is_told_401_though_a_token_is_here(own_home: Path, guarded: str) -> None:
    put_token(own_home, "ab" * 32)
    assert stranger_status(guarded) == 401
    assert answers(guarded)
    assert ray_version(guarded) == "9.9.9"


@pytest.mark.parametrize("token", ["", "cd" * 32], ids=["none", "another's"])
def test_the_wrong_token_is_an_error_that_says_where_it_belongs(own_home: Path, guarded: str, token: str) -> None:
    put_token(own_home, token)
    assert not answers(guarded)
    with pytest.raises(ClusterError, match="auth_token"):
        ray_version(guarded)


def test_a_cluster_of_another_ray_is_refused_before_anything_is_sent(own_home: Path, guarded: str) -> None:
    put_token(own_home, "ab" * 32)
    with pytest.raises(ClusterError, match=r"9\.9\.9"):
        JobClient(guarded)


def test_nobody_there_is_an_error_that_names_the_address(own_home: Path) -> None:
    port = usable_port(0, "nothing")
    with pytest.raises(ClusterError, match=str(port)):
        stranger_status(f"http://127.0.0.1:{port}")
    assert not answers(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://head:8265", "http://head:8265"),
        ("https://ray.example.org/", "https://ray.example.org"),
        ("10.0.0.1:8265", "http://10.0.0.1:8265"),
    ],
)
def test_a_dashboard_is_a_url_or_host_and_port(address: str, url: str) -> None:
    assert dashboard_url(address) == url


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "http://", "auto"])
def test_anything_else_is_an_error_that_shows_the_form(address: str) -> None:
    assert not is_host_port(address) or "://" in address
    with pytest.raises(ClusterError, match="http://"):
        dashboard_url(address)


def test_ray_puts_no_other_address_before_the_one_given(
    own_home: Path, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's client does, without a word, where these variables are set."""
    put_token(own_home, "ab" * 32)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setattr("ray.__version__", "9.9.9")
    assert importlib.util.find_spec("requests") is not None
    client = JobClient(guarded)
    assert client._client._address == guarded
