"""Starting and stopping the service in a Ray session."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.session import ray_session
from roamrl.cluster.variables import default_variables
from roamrl.envs.errors import InputError
from roamrl.platform.optional_packages import need_packages
from roamrl.platform.serving.published import EXTRA, Published

APPLICATION = "roamrl-experts"
MOST_AT_ONCE, CPUS = 64, 0.5
"""Requests that a replica holds at once, and the CPU slots it takes."""

END_S = 30.0
"""Seconds that Ray Serve has to end its actors."""

_QUIET = {"RAY_SERVE_LOG_TO_STDERR": "0"}


@dataclass(frozen=True)
class Endpoint:
    """Where the service listens.

    Attributes:
        url: Base URL of its routes.
        metrics: URL of the node's metrics in Prometheus' text format, the service's among them; None if not known.
    """

    url: str
    metrics: str | None


@contextmanager
def served(
    experts: Sequence[Published],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    replicas: int = 1,
    address: str | None = None,
) -> Iterator[Endpoint]:
    """Serve experts over HTTP for the time of a ``with`` block.

    At the end Ray Serve is shut down, since it was started here, and with it the Ray session if that was too.

    Args:
        experts: What :func:`published_experts` returns.
        host: Interface to listen on.
        port: Port to listen on; 0 for any free one.
        replicas: Processes that answer.
        address: Ray cluster, ``host:port``; None for a session on this machine.

    Raises:
        InputError: If Ray Serve is not installed or the port is taken.
        ClusterError: If Ray cannot be started or joined, Serve runs there already, or it does not start.
    """
    need_packages(EXTRA, "starlette", "uvicorn", "fastapi", "onnxruntime")
    with default_variables(_QUIET), ray_session(address) as session:
        from ray import serve
        from ray.serve.exceptions import RayServeException

        status = serve.status()
        if status.proxies or status.applications:
            raise ClusterError("Ray Serve runs in this session already; end it with `serve shutdown` or use another")
        port = _free_port(host, port)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            _start(experts, host, port, replicas)
            yield Endpoint(f"http://{_in_url(host)}:{port}", _metrics_url())
        except RayServeException as error:
            raise ClusterError(f"Ray Serve does not serve the experts: {error}") from error
        finally:
            if not session.started:  # otherwise all of it ends with the session
                _end_serve()


def _start(experts: Sequence[Published], host: str, port: int, replicas: int) -> None:
    from ray import serve

    from roamrl.platform.serving.replica import ExpertsReplica

    quiet = {"enable_access_log": False, "log_level": "WARNING"}
    serve.start(http_options={"host": host, "port": port}, logging_config=quiet)
    deployment = serve.deployment(
        name="experts", num_replicas=replicas, max_ongoing_requests=MOST_AT_ONCE, ray_actor_options={"num_cpus": CPUS}
    )(ExpertsReplica)
    application = deployment.bind(list(experts))
    serve.run(application, name=APPLICATION, logging_config=quiet)


def _end_serve() -> None:
    """End Ray Serve for all of the session.

    ``serve.shutdown`` alone asks its controller a question that only the controller's death answers; Ray tells every
    terminal of that as of a failure. So the controller is told first, and is gone by the time it is asked.
    """
    import ray
    from ray import serve
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        ray.get(controller.graceful_shutdown.remote(wait=False), timeout=END_S)
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
            time.sleep(0.1)
    except (ValueError, ray.exceptions.RayActorError):
        pass  # the controller is gone: no actor has its name, or it died while it was asked
    serve.shutdown()  # type: ignore[no-untyped-call]


def _free_port(host: str, port: int) -> int:
    """Return a port on which nobody listens: the one asked for, any for 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
            ) from error
        return int(probe.getsockname()[1])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _metrics_url() -> str | None:
    import ray

    here = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["NodeID"] == here and node.get("MetricsExportPort"):
            return f"http://{_in_url(node['NodeManagerAddress'])}:{node['MetricsExportPort']}/metrics"
    return None
