"""Where a session's metrics are served, and the file by which Prometheus learns of its nodes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from roamrl.cluster.node_state import NodeState
from roamrl.cluster.session import ray_session


@dataclass(frozen=True)
class MetricsSource:
    """A session's metrics.

    Attributes:
        address: Where its head listens, ``host:port``.
        discovery_file: The file in which Ray keeps the addresses of its nodes' metrics as nodes come and go, for
            Prometheus' file-based service discovery; None where this machine has none: the session runs without a
            dashboard, whose process writes it, or its head is another machine.
        targets: The addresses now, ``host:port`` each.
    """

    address: str
    discovery_file: Path | None
    targets: tuple[str, ...]


def find_metrics(address: str | None = None) -> MetricsSource:
    """Find the metrics of a session that runs, by joining it for a moment.

    Args:
        address: Where its head listens, ``host:port``; None takes that of ``RAY_ADDRESS``, of the head that was started
            from here, or of a session on this machine, in this order.

    Raises:
        ClusterError: If there is no session, or it cannot be joined.
    """
    with ray_session(address or os.environ.get("RAY_ADDRESS") or _started_head() or "auto") as session:
        import ray
        from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

        context = ray.get_runtime_context()
        file = Path(context.get_temp_dir()) / context.get_session_name() / PROMETHEUS_SERVICE_DISCOVERY_FILE
        targets = tuple(
            _target(str(node["NodeManagerAddress"]), int(node["MetricsExportPort"]))
            for node in ray.nodes()
            if node["Alive"] and node["MetricsExportPort"]
        )
    return MetricsSource(session.address, file if file.is_file() else None, targets)


def _started_head() -> str | None:
    """Return the address of the one head that was started from here and runs, None if there is none or several."""
    heads = [node.address for node in NodeState().nodes() if node.role == "head" and node.process]
    return heads[0] if len(heads) == 1 else None


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
