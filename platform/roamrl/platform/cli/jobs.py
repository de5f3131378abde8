"""Commands about jobs on a cluster: ``jobs ls``, ``logs`` and ``stop``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.cluster_address import DashboardOption
from roamrl.platform.cli.settings import JSONOption

if TYPE_CHECKING:
    from roamrl.cluster.jobs import Job

app = typer.Typer(help="List, follow and stop the jobs of a cluster.", no_args_is_help=True)

_JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id, as 'jobs ls' shows it.")]


@app.command()
def ls(address: DashboardOption = None, as_json: JSONOption = False) -> None:
    """List the jobs and where their results lie."""
    from roamrl.platform.cli.cluster_address import job_client
    from roamrl.platform.cli.tables import Column, duration, print_json, print_table

    client = job_client(address)
    found = client.ls()
    if as_json:
        print_json([_job_json(job) for job in found])
        return
    columns = [
        Column("job", fold=True),
        Column("status"),
        Column("time", "right"),
        Column("results", fold=True),
    ]
    rows = [
        (
            job.id,
            job.status.lower(),
            "-" if job.seconds is None else duration(job.seconds),
            job.facts.get("out", "-"),
        )
        for job in found
    ]
    print_table(columns, rows)
    typer.echo(f"\n{len(found)} jobs on {client.url}; a folder below ~ is on the head's disk")


@app.command()
def logs(
    job: _JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    address: DashboardOption = None,
) -> None:
    """Print what a job says. With --follow, Ctrl-C leaves it, a second one stops it."""
    from roamrl.platform.cli.cluster_address import job_client
    from roamrl.platform.cli.following import follow_job

    client = job_client(address)
    if follow:
        follow_job(client, job)
    else:
        typer.echo(client.logs(job), nl=False)


@app.command()
def stop(job: _JobId, address: DashboardOption = None) -> None:
    """Stop a job; the same 'roamrl submit' goes on where it stopped."""
    from roamrl.platform.cli.cluster_address import job_client

    client = job_client(address)
    stopped = client.stop(job)
    typer.echo(f"{job}: {'stopping' if stopped else f'had ended ({client.get(job).status.lower()})'}")


def _job_json(job: Job) -> dict[str, object]:
    return {**asdict(job), "seconds": job.seconds}
