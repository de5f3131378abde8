"""A cluster's dashboard over HTTP: whether it asks strangers for a token, its Ray version, its nodes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from roamrl.cluster.auth_token import find_token
from roamrl.cluster.errors import ClusterError

UNAUTHORISED = 401
_JOBS = "/api/jobs/"
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ClusterNode:
    """A node of a cluster, as its head knows it.

    Attributes:
        id: Ray's id.
        ip: Its address.
        head: Whether it is the head.
        cpus: CPU slots.
        gpus: GPUs.
    """

    id: str
    ip: str
    head: bool
    cpus: float
    gpus: float


def token_header() -> dict[str, str]:
    """Return the HTTP header that shows the token; none where there is no token here."""
    found = find_token()
    return {"Authorization": f"Bearer {found[0]}"} if found else {}


def stranger_status(url: str) -> int:
    """Return the HTTP status with which a dashboard answers one who lists its jobs without a token.

    Raises:
        ClusterError: If nobody answers.
    """
    return _get(url, _JOBS, {})[0]


def answers(url: str) -> bool:
    """Say whether a dashboard lists its jobs to the token here; False while it does not answer."""
    try:
        return _get(url, _JOBS, token_header())[0] == 200
    except ClusterError:
        return False


def ray_version(url: str) -> str:
    """Return the version of Ray that a cluster runs.

    Raises:
        ClusterError: If nobody answers, or the token is refused.
    """
    return str(_asked(url, "/api/version")["ray_version"])


def cluster_nodes(url: str) -> list[ClusterNode]:
    """Return the nodes of a cluster that are alive, the head first.

    Raises:
        ClusterError: If nobody answers, or the token is refused.
    """
    listed = _asked(url, "/api/v0/nodes?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE")
    nodes = [
        ClusterNode(
            str(entry["node_id"]),
            str(entry["node_ip"]),
            bool(entry["is_head_node"]),
            float(entry["resources_total"].get("CPU", 0.0)),
            float(entry["resources_total"].get("GPU", 0.0)),
        )
        for entry in listed["data"]["result"]["result"]
    ]
    return sorted(nodes, key=lambda node: (not node.head, node.ip, node.id))


def _asked(url: str, path: str) -> dict[str, Any]:
    status, body = _get(url, path, token_header())
    if status in (UNAUTHORISED, 403):
        raise ClusterError(f"{url} refuses the token here ({status}); copy ~/.ray/auth_token from the head, mode 0600")
    if status != 200:
        raise ClusterError(f"{url}{path} answers {status}: {body[:200].decode(errors='replace')}")
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise ClusterError(f"{url} is no Ray dashboard: it answers {body[:60]!r}; its port is 8265 mostly") from error
    return found


def _get(url: str, path: str, header: dict[str, str]) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, headers=header), timeout=_TIMEOUT_S) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ClusterError(
            f"no dashboard answers at {url}: {reason}; mostly http://HEAD:8265, as `roamrl cluster start` prints it"
        ) from error
