"""Ray sessions: start one on this machine or join a cluster, and leave behind only what was there before."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from roamrl.cluster.addresses import check_listening, is_host_port
from roamrl.cluster.auth_token import AUTH_MODE, prepare_token, protect_token, token_file
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.head_watch import watched_head
from roamrl.cluster.quiet import quiet_ray
from roamrl.cluster.variables import default_variables

__all__ = ["ClusterError", "RaySession", "ray_session"]

_ADDRESS = "RAY_ADDRESS"
_TOKEN_WORDS = f"~/.ray/auth_token, mode 0600; a cluster without needs {AUTH_MODE}=disabled"

_VARIABLES = {
    # Tune's own handler ends ``fit()`` at Ctrl-C as if the trials were over; ours is to stop.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A process that waits for its next task has torch and RLlib loaded, which takes a new one 4 s. Ray ends it after
    # one idle second where actors hold the CPUs, so that a study's evaluations would begin anew in every stage.
    "RAY_idle_worker_killing_time_threshold_ms": "120000",
}


@dataclass(frozen=True)
class RaySession:
    """A session as it was found.

    Attributes:
        address: Where its head listens, ``host:port``.
        started: Whether it was started here, and so ends here.
        cpus: CPU slots of all nodes together.
        gpus: GPUs of all nodes together.
        dashboard: URL of its dashboard, where it has one.
    """

    address: str
    started: bool
    cpus: float
    gpus: float
    dashboard: str | None = None


@contextmanager
def ray_session(
    address: str | None = None,
    num_cpus: int | None = None,
    quiet: bool = True,
    dashboard: bool = False,
    about: Mapping[str, str] | None = None,
) -> Iterator[RaySession]:
    """Start Ray on this machine, or join a cluster, for the time of a ``with`` block.

    A session that this process is already in is used as it is. Only a session that was started or joined here is
    left at the end, and only one that was started here stops.

    Args:
        address: ``host:port`` of a running cluster, or ``auto`` for the one on this machine. None joins the cluster
            that ``RAY_ADDRESS`` names (as it does inside a Ray job) or starts a session.
        num_cpus: CPU slots of a session that is started; None takes those of the machine.
        quiet: Keep Ray's informational lines and the trials' own output out of the terminal.
        dashboard: Start Ray's dashboard, on this machine's loopback only.
        about: What the cluster's list of jobs says of this driver.

    Raises:
        ClusterError: If there is no cluster at the address, it refuses, or a session cannot be started.
    """
    where = _where(address)
    with default_variables(_VARIABLES), quiet_ray() if quiet else nullcontext():
        import ray

        if ray.is_initialized():
            _check_same(address)
            yield _describe(started=False)
            return
        if where == "local":
            _start(num_cpus, quiet, dashboard, about)
        else:
            _join(where, num_cpus, quiet, about)
        try:
            session = _describe(started=where == "local")
            with nullcontext() if session.started else watched_head(session.address):
                yield session
        finally:
            ray.shutdown()


def _where(address: str | None) -> str:
    """Return what Ray is to be told: an address, ``auto`` or ``local``."""
    where = address or os.environ.get(_ADDRESS) or "local"
    if "://" in where:
        raise ClusterError(
            f"address {where!r}: a driver joins a cluster by host:port, from a machine of that cluster; "
            "from elsewhere submit it as a job (`roamrl submit`)"
        )
    if where not in ("local", "auto") and not is_host_port(where):
        raise ClusterError(f"address {where!r} is no host:port, e.g. 10.0.0.1:6379")
    return where


def _start(num_cpus: int | None, quiet: bool, dashboard: bool, about: Mapping[str, str] | None) -> None:
    import ray
    from ray.job_config import JobConfig

    prepare_token()
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            job_config=JobConfig(metadata=dict(about or {})),
            log_to_driver=not quiet,
            logging_level=logging.WARNING if quiet else logging.INFO,
        )
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterError(f"Ray did not start on this machine: {_first_line(error)}") from error
    except Exception as error:
        if type(error) is not Exception:  # what Ray raises when its node is not up after the 30 s it waits
            raise
        raise ClusterError(
            f"Ray did not start on this machine: {_first_line(error)} If the machine is busy, run the same again"
        ) from error


def _join(where: str, num_cpus: int | None, quiet: bool, about: Mapping[str, str] | None) -> None:
    import ray
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray.job_config import JobConfig

    if num_cpus is not None:
        raise ClusterError(f"a cluster that is joined ({where}) has its own CPU slots; leave num_cpus out")
    protect_token(token_file())
    if where != "auto":
        check_listening(where)  # Ray itself would try for five minutes
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # `ray.init` alone shows no token to a cluster
    try:
        ray.init(
            address=where,
            job_config=JobConfig(metadata=dict(about or {})),
            log_to_driver=not quiet,
            logging_level=logging.WARNING if quiet else logging.INFO,
        )
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        token = "the head's token is asked for" if os.environ.get(AUTH_MODE) else "it may ask for a token"
        told = f"no Ray cluster can be joined at {where}: {_first_line(error)}"
        raise ClusterError(f"{told}; {token} ({_TOKEN_WORDS})") from error


def _check_same(address: str | None) -> None:
    """Refuse to pass off the session this process is in as another."""
    import ray

    here = ray.get_runtime_context().gcs_address
    if address not in (None, "local", "auto", here):
        raise ClusterError(f"this process is already in the Ray session at {here}; leave it to join {address}")


def _describe(*, started: bool) -> RaySession:
    import ray
    from ray._private.worker import get_dashboard_url

    resources = ray.cluster_resources()
    dashboard = get_dashboard_url()
    return RaySession(
        ray.get_runtime_context().gcs_address,
        started,
        resources.get("CPU", 0.0),
        resources.get("GPU", 0.0),
        f"http://{dashboard}" if dashboard else None,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
