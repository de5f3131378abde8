"""Ray nodes that outlive the command: a head or a worker with a token, recorded, and stopped alone.

Each node has ports and a temporary folder of its own, so several may run on one machine. ``ray stop`` is never used: it
ends every Ray process of the machine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roamrl.cluster.addresses import check_listening, is_host_port, usable_port
from roamrl.cluster.auth_token import find_token, require_token
from roamrl.cluster.dashboard import answers
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.node_state import Node, NodeState
from roamrl.cluster.processes import MARK, check_platform, end_processes, wait_for_end

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STARTED = "Ray runtime started."
_START_S = 180.0
_END_S = 20.0
_POLL_S = 0.3
_LOG_LINES = 15


@dataclass(frozen=True)
class NodeOptions:
    """What any node may be told.

    Attributes:
        num_cpus: CPU slots; None takes the machine's.
        num_gpus: GPUs; None takes the machine's.
        node_ip: Address under which other nodes reach this one; None lets Ray choose.
        worker_ports: First and last port on which workers listen, for firewalls; None takes any.
    """

    num_cpus: int | None = None
    num_gpus: int | None = None
    node_ip: str | None = None
    worker_ports: tuple[int, int] | None = None


@dataclass(frozen=True)
class HeadOptions(NodeOptions):
    """What a head may be told besides.

    Attributes:
        port: Port at which nodes and drivers join; 0 takes a free one.
        dashboard_host: Address at which dashboard and jobs are served; one other than this machine's own opens them to
            the network.
        dashboard_port: Their port; 0 takes a free one.
    """

    port: int = 6379
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = 8265


def start_head(options: HeadOptions | None = None, state: NodeState | None = None) -> Node:
    """Start a cluster's head with token authentication, and wait until it takes jobs.

    Raises:
        ClusterError: If a port is taken, authentication is turned off, or Ray does not start; with the end of its log.
    """
    asked = options or HeadOptions()
    check_platform()
    require_token()
    port = usable_port(asked.port, "the cluster")
    served = usable_port(asked.dashboard_port, "the dashboard")
    arguments = [
        "--head",
        f"--port={port}",
        f"--dashboard-host={asked.dashboard_host}",
        f"--dashboard-port={served}",
        f"--ray-client-server-port={usable_port(0, 'Ray clients')}",
        "--include-dashboard=true",
        "--disable-usage-stats",
    ]
    reached = asked.dashboard_host if asked.dashboard_host not in ("0.0.0.0", "::") else "127.0.0.1"
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{served}"
    return _start("head", f"head-{port}", f"{asked.node_ip or _own_ip()}:{port}", url, arguments, asked, state)


def start_worker(address: str, options: NodeOptions | None = None, state: NodeState | None = None) -> Node:
    """Start a node on this machine that joins a cluster.

    Args:
        address: Where the cluster's head listens, ``host:port``.
        options: What the node is told.
        state: Where it is recorded.

    Raises:
        ClusterError: If no cluster listens there, there is no token here, or Ray does not start; with the end of its
            log.
    """
    if not is_host_port(address):
        raise ClusterError(f"a node joins a cluster by its head's host:port, e.g. 10.0.0.1:6379, not {address!r}")
    check_platform()
    if find_token() is None:
        raise ClusterError("no token here: copy ~/.ray/auth_token from the cluster's head (mode 0600), and try again")
    require_token()
    check_listening(address)
    name = f"worker-{secrets.token_hex(3)}"
    return _start("worker", name, address, None, [f"--address={address}"], options or NodeOptions(), state)


def stop_node(node: Node, state: NodeState | None = None) -> None:
    """End the processes of a node, and remove its record and temporary folder; nothing else is touched.

    Raises:
        ClusterError: If a process cannot be ended.
    """
    everyone = node.processes
    leader = node.process
    if leader:
        end_processes([leader], _END_S)  # it ends its own in Ray's order
        wait_for_end(everyone, 2.0)
    left = end_processes(everyone, 5.0) or end_processes(node.processes, 5.0)  # some began in between
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise ClusterError(f"processes {numbers} of node {node.name} do not end; see `ps -p {numbers}`")
    shutil.rmtree(node.temp_dir, ignore_errors=True)
    (state or NodeState()).forget(node.name)


def _start(
    role: Literal["head", "worker"],
    name: str,
    address: str,
    url: str | None,
    arguments: Sequence[str],
    options: NodeOptions,
    state: NodeState | None,
) -> Node:
    records = state or NodeState()
    given = [*arguments, *_common_arguments(options)]
    place = records.make(name)
    temp_dir = tempfile.mkdtemp(prefix="roamrl-", dir="/tmp")  # short: sockets below it have 107 characters
    inner = f"{temp_dir}/ray"  # Ray opens its folder to everybody; the one around it stays closed
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--temp-dir={inner}", *given]
    with records.log(name).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=_environment(os.environ, temp_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    node = Node(name, role, process.pid, address, url, temp_dir, time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    records.write(node)
    try:
        _wait(process, node, records)
    except BaseException:
        stop_node(node, records)
        process.wait()
        raise
    return node


def _wait(process: subprocess.Popen[bytes], node: Node, records: NodeState) -> None:
    """Wait until a node is part of a cluster, and a head takes jobs."""
    until = time.monotonic() + _START_S
    log = records.log(node.name)
    while True:
        said = log.read_text(encoding="utf-8", errors="replace")
        if _STARTED in said and (node.dashboard is None or answers(node.dashboard)):
            return
        ended = process.poll() is not None
        if ended or time.monotonic() > until:
            how = f"Ray ended with code {process.returncode}" if ended else f"Ray did not start in {_START_S:.0f} s"
            last = "\n".join(said.strip().splitlines()[-_LOG_LINES:])
            raise ClusterError(f"{how}; the last it said:\n{last}")
        time.sleep(_POLL_S)


def _common_arguments(options: NodeOptions) -> list[str]:
    low, high = options.worker_ports or (0, 0)
    if options.worker_ports and not 1024 <= low < high <= 65535:
        raise ClusterError(f"worker ports {low}-{high}: give the first and the last, e.g. 10002-10999")
    listed = {
        "num-cpus": options.num_cpus,
        "num-gpus": options.num_gpus,
        "node-ip-address": options.node_ip,
        "min-worker-port": low,
        "max-worker-port": high,
        "dashboard-agent-listen-port": usable_port(0, "the node's agent"),
    }
    return [f"--{name}={value}" for name, value in listed.items() if value is not None]


def _environment(mine: Mapping[str, str], temp_dir: str) -> dict[str, str]:
    """Return the node's variables: jobs find this Python first, and no other cluster's address."""
    kept = {name: value for name, value in mine.items() if name not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{mine.get('PATH', os.defpath)}"
    own = {"PATH": path, MARK: temp_dir, "RAY_USAGE_STATS_ENABLED": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**kept, **own}


def _own_ip() -> str:
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())
