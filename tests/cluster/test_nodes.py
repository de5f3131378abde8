"""Nodes on record: for their owner alone, told from strangers, and ended without touching anything else."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.launcher import HeadOptions, NodeOptions, start_head, start_worker, stop_node
from roamrl.cluster.node_state import Node, NodeState
from roamrl.cluster.processes import find_process, session_family

FAMILY = """
import subprocess, sys, time
child = [sys.executable, "-c", "import time; time.sleep(300)"]
subprocess.Popen([*child, *sys.argv[1:]])
subprocess.Popen(child, start_new_session=True)
print("ready", flush=True)
time.sleep(300)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Node, subprocess.Popen[str]]]:
    """A process with two children, one of them in a session of its own, as a node's job is."""
    mark = tmp_path / "temp"
    mark.mkdir()
    command = [sys.executable, "-c", FAMILY, f"--temp-dir={mark}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        everyone = session_family(process.pid, str(mark))
        yield Node("head-1", "head", process.pid, "10.0.0.1:6379", "http://10.0.0.1:8265", str(mark), "now"), process
        for found in everyone:
            if found.alive:
                os.kill(found.pid, 9)


def test_a_node_is_its_session_and_what_came_of_it(family: tuple[Node, subprocess.Popen[str]]) -> None:
    node, process = family
    assert node.process is not None
    assert node.process.pid == process.pid
    assert len(node.processes) == 3
    assert os.getpid() not in [found.pid for found in node.processes]


def test_a_stranger_with_its_number_is_not_taken_for_it(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as stranger:
        node = Node("head-1", "head", stranger.pid, "10.0.0.1:6379", None, str(tmp_path / "temp"), "now")
        assert node.process is None
        assert node.processes == []
        stop_node(node, NodeState(tmp_path / "state"))
        assert stranger.poll() is None
        stranger.kill()


def test_stopping_ends_the_node_alone(family: tuple[Node, subprocess.Popen[str]], tmp_path: Path) -> None:
    node, _ = family
    state = NodeState(tmp_path / "state")
    state.make(node.name)
    state.write(node)
    everyone = node.processes
    with subprocess.Popen(["sleep", "300"]) as other:
        stop_node(node, state)
        assert [found for found in everyone if found.alive] == []
        assert other.poll() is None
        other.kill()
    assert state.nodes() == []
    assert not Path(node.temp_dir).exists()


def test_a_node_whose_first_process_was_killed_is_still_stopped(
    family: tuple[Node, subprocess.Popen[str]], tmp_path: Path
) -> None:
    node, process = family
    (child,) = [found for found in node.processes if found.session == process.pid and found.pid != process.pid]
    process.kill()
    process.wait()
    assert node.process is None
    assert [found.pid for found in node.processes] == [child.pid]
    stop_node(node, NodeState(tmp_path / "state"))
    assert not child.alive


def test_a_process_that_left_session_and_parent_is_still_of_the_node(tmp_path: Path) -> None:
    mark = str(tmp_path / "temp")
    start = "subprocess.Popen(['sleep', '300'], start_new_session=True, stdout=subprocess.DEVNULL)"
    lines = f"import subprocess; print({start}.pid)"
    env = {**os.environ, "ROAMRL_NODE": mark}
    command = [sys.executable, "-c", lines]
    pid = int(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout)
    ended = 2**22 + 1
    node = Node("head-1", "head", ended, "10.0.0.1:6379", None, mark, "now")
    assert [found.pid for found in node.processes] == [pid]
    assert Node("head-2", "head", ended, "10.0.0.1:6379", None, f"{mark}-2", "now").processes == []
    stop_node(node, NodeState(tmp_path / "state"))
    assert find_process(pid) is None


def test_records_are_for_their_owner_alone_and_come_back(own_home: Path) -> None:
    state = NodeState()
    assert state.folder == own_home / ".local" / "state" / "roamrl" / "nodes"
    worker = Node("worker-1", "worker", 2**22 + 1, "10.0.0.1:6379", None, "/tmp/nowhere", "now")
    head = Node("head-1", "head", 2**22 + 2, "10.0.0.1:6379", "http://10.0.0.1:8265", "/tmp/nowhere", "now")
    for node in (worker, head):
        place = state.make(node.name)
        state.write(node)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    assert state.nodes() == [head, worker]
    assert state.dashboard() is None
    with pytest.raises(ClusterError, match="head-1"):
        state.make("head-1")


def test_a_damaged_record_is_an_error_that_names_it(tmp_path: Path) -> None:
    state = NodeState(tmp_path)
    (state.make("head-1") / "node.json").write_text("{")
    with pytest.raises(ClusterError, match="head-1"):
        state.nodes()


def test_the_dead_are_no_process() -> None:
    with subprocess.Popen(["true"]) as ended:
        while (found := find_process(ended.pid)) is not None:
            assert found.pid == ended.pid
            time.sleep(0.01)


def test_a_port_that_is_taken_is_an_error_before_anything_starts(own_home: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=str(port)):
            start_head(HeadOptions(port=port))
    assert NodeState().nodes() == []


def test_a_cluster_without_a_token_is_refused(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ClusterError, match="RAY_AUTH_MODE"):
        start_head(HeadOptions(port=0, dashboard_port=0))
    assert NodeState().nodes() == []


def test_joining_needs_the_heads_token(own_home: Path) -> None:
    with pytest.raises(ClusterError, match="auth_token"):
        start_worker("10.0.0.1:6379")
    assert not (own_home / ".ray").exists()


@pytest.mark.parametrize("ports", [(20000, 10000), (80, 90), (10000, 70000)])
def test_ports_that_make_no_range_are_an_error(own_home: Path, ports: tuple[int, int]) -> None:
    with pytest.raises(ClusterError, match="10002-10999"):
        start_head(HeadOptions(port=0, dashboard_port=0, worker_ports=ports))
    assert not NodeState().folder.exists()


def test_an_address_of_another_form_is_an_error(own_home: Path) -> None:
    with pytest.raises(ClusterError, match="host:port"):
        start_worker("http://10.0.0.1:8265", NodeOptions())
