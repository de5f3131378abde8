"""The command ``cluster monitoring``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roamrl.platform.cli.settings import JSONOption


def add_to(app: typer.Typer) -> None:
    """Add the command to a group."""
    app.command()(monitoring)


def monitoring(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")] = Path("monitoring"),
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Head of the session; the one that runs here if left out.")
    ] = None,
    scrape_s: Annotated[int, typer.Option(min=1, help="Seconds between two scrapes.")] = 10,
    as_json: JSONOption = False,
) -> None:
    """Write files for Prometheus and Grafana to watch a session that runs. The last line is the folder."""
    from roamrl.cluster.monitoring.files import write_monitoring
    from roamrl.cluster.monitoring.metrics_source import find_metrics
    from roamrl.platform.cli.tables import print_json

    source = find_metrics(address)
    written = write_monitoring(out, source, scrape_s)
    prometheus, grafana = written.commands
    if as_json:
        print_json(
            {
                "address": source.address,
                "discovery_file": str(source.discovery_file) if source.discovery_file else None,
                "targets": list(source.targets),
                "folder": str(written.folder),
                "prometheus": prometheus,
                "grafana": grafana,
            }
        )
        return
    if source.discovery_file is None:
        typer.echo(
            "this machine has no list of the session's nodes that Ray keeps (its head is elsewhere, or runs without a "
            "dashboard): the nodes of now are written; write anew when others come",
            err=True,
        )
    typer.echo(f"nodes:    {', '.join(source.targets)}", err=True)
    typer.echo(f"start:    {prometheus}", err=True)
    typer.echo(f"          {grafana}", err=True)
    typer.echo(str(written.folder))
