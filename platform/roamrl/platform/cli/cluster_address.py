"""The option ``--address`` of commands that speak to a cluster's dashboard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from roamrl.cluster.jobs import JobClient

DashboardOption = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="Dashboard, http://HEAD:8265; the cluster started here if left out."),
]


def job_client(address: str | None) -> JobClient:
    """Return the jobs of the cluster at an address, of ``RAY_API_SERVER_ADDRESS``, or of the one started from here.

    Raises:
        ClusterError: If there is none, or it does not answer.
    """
    from roamrl.cluster.errors import ClusterError
    from roamrl.cluster.jobs import JobClient
    from roamrl.cluster.node_state import NodeState
    from roamrl.cluster.quiet import quiet_ray

    found = address or os.environ.get("RAY_API_SERVER_ADDRESS") or NodeState().dashboard()
    if not found:
        raise ClusterError("which cluster? give --address http://HEAD:8265, or start one: `roamrl cluster start`")
    with quiet_ray():
        return JobClient(found)
