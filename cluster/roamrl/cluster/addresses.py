"""Addresses of clusters: ``host:port`` for drivers and nodes, the URL of a dashboard for jobs; and free ports."""

from __future__ import annotations

import re
import socket

from roamrl.cluster.errors import ClusterError

_REACH_S = 5.0
_URL = re.compile(r"https?://[^/\s]+(/\S*)?")


def is_host_port(text: str) -> bool:
    """Say whether a text has the form ``host:port``."""
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in host and port.isdigit()


def dashboard_url(address: str) -> str:
    """Return the URL of a dashboard, given as one or as ``host:port``.

    Raises:
        ClusterError: If it is neither.
    """
    if _URL.fullmatch(address):
        return address.rstrip("/")
    if is_host_port(address):
        return f"http://{address}"
    raise ClusterError(f"address {address!r} is no dashboard's URL; jobs go to one, e.g. http://10.0.0.1:8265")


def check_listening(address: str) -> None:
    """Refuse an address at which nobody listens.

    Args:
        address: ``host:port``.

    Raises:
        ClusterError: If nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster listens at {address}: {error}; start one with `roamrl cluster start`"
        ) from error


def usable_port(wanted: int, what: str) -> int:
    """Return a port of this machine on which nobody listens: the one wanted, or any where 0 is wanted.

    Args:
        wanted: The port, or 0.
        what: What it is for, for messages.

    Raises:
        ClusterError: If it is taken or no port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", wanted))
        except (OSError, OverflowError) as error:
            raise ClusterError(
                f"port {wanted} for {what} cannot be had: {error}; give another, or 0 for any"
            ) from error
        return int(tried.getsockname()[1])
