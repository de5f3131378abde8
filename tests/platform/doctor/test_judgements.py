"""What the doctor makes of what it finds."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from roamrl.platform.doctor.checks import Check, Verdict
from roamrl.platform.doctor.examine import examine
from roamrl.platform.doctor.node_facts import leave_mark, node_facts, remove_mark, see_mark
from roamrl.platform.doctor.nodes import NodeFacts, cache_check, disk_check, own_facts, version_check
from roamrl.platform.doctor.remote import _parse
from roamrl.platform.doctor.store_check import store_check
from roamrl.platform.doctor.tokens import strangers_check, token_checks
from roamrl.platform.store.store import ExpertStore

OWN = NodeFacts("here", "3.11.7", {"ray": "2.60.0", "torch": "2.13.0", "gymnasium": "1.2.2", "numpy": "2.4.6",
                "numba": "0.68.1", "scipy": "1.17.1"}, 0.5, 10**11, "/cache", None)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_nodes_that_agree_are_in_order() -> None:
    assert version_check([OWN, replace(OWN, host="there")], OWN).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"versions": {**OWN.versions, "ray": "2.59.0"}}, Verdict.FAIL),
        ({"versions": {**OWN.versions, "torch": None}}, Verdict.FAIL),
        ({"versions": {**OWN.versions, "scipy": "1.16.0"}}, Verdict.WARN),
        ({"python": "3.12.1"}, Verdict.FAIL),
        ({"python": "3.11.9"}, Verdict.OK),
    ],
)
def test_versions_that_differ_are_named_with_their_node(changed: dict, verdict: Verdict) -> None:
    found = version_check([OWN, replace(OWN, host="there", **changed)], OWN)
    assert found.verdict is verdict
    assert ("there" in found.found) == (verdict is not Verdict.OK)
    assert bool(found.mend) == (verdict is not Verdict.OK)


@pytest.mark.parametrize(("used", "verdict"), [(0.9, Verdict.OK), (0.93, Verdict.WARN), (0.96, Verdict.FAIL)])
def test_the_fullest_disk_counts(used: float, verdict: Verdict) -> None:
    found = disk_check([OWN, replace(OWN, host="full", disk_used=used)])
    assert found.verdict is verdict
    assert "full" in found.found


def test_a_cache_that_refuses_is_a_warning_with_its_node() -> None:
    assert cache_check([OWN]).verdict is Verdict.OK
    found = cache_check([OWN, replace(OWN, host="there", cache_error="Read-only file system")])
    assert (found.verdict, "there: Read-only" in found.found) == (Verdict.WARN, True)


def test_facts_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELS", str(tmp_path))
    facts = node_facts(["ray", "no-such-package"], "${KERNELS}/cache", str(tmp_path))
    assert facts["versions"]["ray"] == own_facts("/tmp", "/tmp").versions["ray"]
    assert facts["versions"]["no-such-package"] is None
    assert facts["cache"] == str(tmp_path / "cache")
    assert facts["cache_error"] is None
    assert 0.0 < facts["disk_used"] < 1.0
    (tmp_path / "file").write_text("in the way")
    assert "file" in node_facts([], "${KERNELS}/file/cache", str(tmp_path))["cache_error"]


def test_a_mark_is_seen_with_its_own_content_alone(tmp_path: Path) -> None:
    folder = str(tmp_path / "new")
    assert leave_mark(folder, "mark", "mine") is None
    assert see_mark(folder, "mark", "mine")
    assert not see_mark(folder, "mark", "another's")
    assert not see_mark(str(tmp_path), "mark", "mine")
    remove_mark(folder, "mark")
    assert not see_mark(folder, "mark", "mine")


@pytest.mark.parametrize(("mode", "verdict"), [(0o600, Verdict.OK), (0o400, Verdict.OK), (0o640, Verdict.FAIL)])
def test_a_token_file_that_others_read_is_wrong(home: Path, mode: int, verdict: Verdict) -> None:
    (home / ".ray").mkdir()
    file = home / ".ray" / "auth_token"
    file.write_text("ab" * 32)
    file.chmod(mode)
    token, found = token_checks()
    assert token.verdict is Verdict.OK
    assert found.verdict is verdict
    assert ("chmod 600" in found.mend) == (verdict is Verdict.FAIL)
    assert "ab" * 32 not in str(token_checks())


def test_no_token_yet_is_a_warning_and_none_wanted_is_wrong(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.verdict for check in token_checks()] == [Verdict.WARN]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert [check.verdict for check in token_checks()] == [Verdict.FAIL]


@pytest.fixture(params=[200, 401, 500])
def dashboard(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    status: int = request.param

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", status
        server.shutdown()
        thread.join()


def test_only_a_dashboard_that_asks_for_a_token_is_in_order(dashboard: tuple[str, int]) -> None:
    url, status = dashboard
    found = strangers_check(url)
    assert found.verdict is (Verdict.OK if status == 401 else Verdict.FAIL)
    assert str(status) in found.found


def test_a_store_is_tried(tmp_path: Path) -> None:
    assert store_check(str(tmp_path / "nowhere")).verdict is Verdict.FAIL
    ExpertStore.init(tmp_path / "store")
    assert store_check(str(tmp_path / "store")).verdict is Verdict.OK


def test_this_machine_alone_is_looked_at_without_ray(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(home / "cache"))
    found = {check.name: check for check in examine(None, str(home / "nowhere"), str(home))}
    assert found["versions"].verdict is Verdict.OK
    assert found["kernel cache"].found == str(home / "cache")
    assert found["shared storage"].verdict is Verdict.SKIPPED
    assert found["store"].verdict is Verdict.FAIL
    assert not os.listdir(home / "cache")


def test_what_a_job_says_is_read_back_and_noise_is_not() -> None:
    checks = [Check("disk", Verdict.WARN, "at most 93% in use", "make room")]
    said = json.dumps([asdict(check) for check in checks], indent=2)
    assert _parse(f"Running entrypoint for job x: [y]\n{said}\nand more\n") == checks
    assert _parse("Traceback (most recent call last):\n  boom\n") is None
    assert _parse('[\n  {"name": 1}\n]\n') is None
