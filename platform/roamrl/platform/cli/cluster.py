"""Commands about Ray nodes of this machine: ``cluster start``, ``status``, ``stop``, ``monitoring``, ``manifests``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli import monitoring
from roamrl.platform.cli.exit_codes import FAILED, say_error
from roamrl.platform.cli.settings import JSONOption

if TYPE_CHECKING:
    from roamrl.cluster.dashboard import ClusterNode
    from roamrl.cluster.node_state import Node

app = typer.Typer(
    help="Start, watch and stop Ray nodes with a token; write files for Kubernetes.", no_args_is_help=True
)
monitoring.add_to(app)


@app.command()
def start(
    join: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Join this cluster instead of starting one.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port at which nodes join; 0 for any.")] = 6379,
    dashboard_host: Annotated[str, typer.Option(help="Where dashboard and jobs are served.")] = "127.0.0.1",
    dashboard_port: Annotated[int, typer.Option(help="Their port; 0 for any.")] = 8265,
    num_cpus: Annotated[int | None, typer.Option(min=0, help="CPU slots; the machine's if left out.")] = None,
    num_gpus: Annotated[int | None, typer.Option(min=0, help="GPUs; the machine's if left out.")] = None,
    node_ip: Annotated[str | None, typer.Option(help="Address of this node for the others.")] = None,
    worker_ports: Annotated[
        str | None, typer.Option(metavar="LOW-HIGH", help="Ports of worker processes, for firewalls.")
    ] = None,
) -> None:
    """Start a cluster's head here, with a token, or a node that joins one. The last line is what to connect to."""
    from roamrl.cluster.launcher import LOOPBACK, HeadOptions, NodeOptions, start_head, start_worker

    ports = _ports(worker_ports)
    if join is not None:
        node = start_worker(join, NodeOptions(num_cpus, num_gpus, node_ip, ports))
        typer.echo(f"node {node.name} has joined; 'roamrl cluster stop' ends it", err=True)
        typer.echo(node.address)
        return
    if dashboard_host not in LOOPBACK:
        say_error(
            f"warning: {dashboard_host}:{dashboard_port} is open to the network; whoever has the token runs code here, "
            "and it travels unencrypted: keep the port behind a firewall or a tunnel"
        )
    head = HeadOptions(num_cpus, num_gpus, node_ip, ports, port, dashboard_host, dashboard_port)
    node = start_head(head)
    for line in (
        f"another node:   roamrl cluster start --join {node.address}   (with this ~/.ray/auth_token there)",
        f"a study on it:  roamrl submit quick --address {node.dashboard}",
        f"to watch it:    roamrl cluster monitoring --address {node.address}",
        "its end:        roamrl cluster stop",
    ):
        typer.echo(line, err=True)
    typer.echo(str(node.dashboard))


@app.command()
def status(as_json: JSONOption = False) -> None:
    """List the nodes that were started from here, and all nodes of their clusters."""
    from roamrl.cluster.node_state import NodeState
    from roamrl.platform.cli.tables import Column, print_json, print_table

    nodes = NodeState().nodes()
    members = {node.name: _members(node) for node in nodes if node.dashboard and node.process}
    if as_json:
        print_json(
            [
                {
                    **asdict(node),
                    "running": node.process is not None,
                    "nodes": [asdict(member) for member in members.get(node.name, ())],
                }
                for node in nodes
            ]
        )
        return
    print_table(
        [Column("node"), Column("state"), Column("pid", "right"), Column("cluster"), Column("dashboard")],
        [
            (node.name, "running" if node.process else "ended", node.pid, node.address, node.dashboard or "-")
            for node in nodes
        ],
    )
    for name, found in members.items():
        cpus = sum(member.cpus for member in found)
        typer.echo(f"\n{name}: {len(found)} nodes, {cpus:.0f} CPU slots, {sum(m.gpus for m in found):.0f} GPUs")
    if not nodes:
        typer.echo("no node was started from here; 'roamrl cluster start' starts one")


@app.command()
def stop(
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]..", help="Names, as 'status' shows; all if left out.")
    ] = None,
) -> None:
    """Stop the nodes that were started from here, and no other Ray process."""
    from roamrl.cluster.errors import ClusterError
    from roamrl.cluster.launcher import stop_node
    from roamrl.cluster.node_state import NodeState
    from roamrl.envs.errors import unknown_name

    state = NodeState()
    known = {node.name: node for node in state.nodes()}
    for name in nodes or ():
        if name not in known:
            raise unknown_name("node", name, known)
    chosen = [node for name, node in known.items() if not nodes or name in nodes]
    failed = False
    for node in reversed(chosen):  # workers before their head
        try:
            stop_node(node, state)
        except ClusterError as error:
            say_error(f"error: {error}")
            failed = True
        else:
            typer.echo(f"stopped {node.name}")
    if not chosen:
        typer.echo("no node was started from here")
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def manifests(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")],
    image: Annotated[str, typer.Option(help="Image that the Dockerfile is built as.")] = "roamrl:latest",
    max_workers: Annotated[int, typer.Option(min=1, help="Most worker pods or machines.")] = 8,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of a worker.")] = 4,
    memory_gib: Annotated[int, typer.Option(min=1, help="Memory of a worker in GiB.")] = 8,
    storage_gib: Annotated[int, typer.Option(min=1, help="Shared storage in GiB.")] = 100,
    storage_class: Annotated[
        str | None, typer.Option(help="Its class; must be mountable by many (ReadWriteMany).")
    ] = None,
) -> None:
    """Write a Dockerfile and files for KubeRay and Ray's cluster launcher. The last line is the folder."""
    from roamrl.cluster.kubernetes.manifests import ManifestOptions, write_manifests

    options = ManifestOptions(image, max_workers, cpus, memory_gib, storage_gib, storage_class)
    for path in write_manifests(directory, options):
        typer.echo(path.name, err=True)
    typer.echo(str(directory))


def _ports(text: str | None) -> tuple[int, int] | None:
    from roamrl.envs.errors import InputError

    if text is None:
        return None
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit()):
        raise InputError(f"--worker-ports {text!r} has not the form LOW-HIGH, e.g. 10002-10999")
    return int(low), int(high)


def _members(node: Node) -> list[ClusterNode]:
    from roamrl.cluster.dashboard import cluster_nodes
    from roamrl.cluster.errors import ClusterError

    try:
        return cluster_nodes(str(node.dashboard))
    except ClusterError as error:
        say_error(f"{node.name}: {error}")
        return []
