"""The command ``submit``."""

from __future__ import annotations

from typing import Annotated

import typer

from roamrl.platform.cli.cluster_address import DashboardOption
from roamrl.platform.cli.exit_codes import say_error
from roamrl.platform.cli.settings import FreshOption, SetOption


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(submit)


def submit(
    study: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Built-in study or suite, or a YAML file.")],
    address: DashboardOption = None,
    out: Annotated[
        str | None, typer.Option("--out", help="The run's folder on the cluster; ~/roamrl/runs/NAME-HASH if left out.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Expert store, a folder or URL there; ~/roamrl/store if left out.")
    ] = None,
    overrides: SetOption = None,
    fresh: FreshOption = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Show what the job says until its end.")] = True,
) -> None:
    """Run a study on a cluster as a job. The last line is the run's folder there."""
    from roamrl.platform.cli.cluster_address import job_client
    from roamrl.platform.cli.following import follow_job
    from roamrl.platform.submission.submit import submit_study

    client = job_client(address)
    sent = submit_study(client, study, overrides or (), out=out, store=store, fresh=fresh)
    typer.echo(f"job {sent.job} on {client.url}", err=True)
    if sent.head_alone:
        say_error(f"the cluster has several nodes, and {sent.out} must be seen by all: give --out on shared storage")
    if follow:
        follow_job(client, sent.job)
    else:
        typer.echo(f"follow it: roamrl jobs logs {sent.job} --follow --address {client.url}", err=True)
    typer.echo(sent.out)
