"""Following a job in the terminal: its lines as they come; Ctrl-C leaves it alone, a second one stops it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

from roamrl.platform.cli.exit_codes import FAILED, INTERRUPTED, say_error

if TYPE_CHECKING:
    from roamrl.cluster.jobs import Job, JobClient

SECOND_CHANCE_S = 5.0


def follow_job(client: JobClient, job_id: str) -> Job:
    """Show what a job says until it ends.

    Raises:
        typer.Exit: With 130 if the person leaves, 1 if the job failed or was stopped.
    """
    try:
        job = client.follow(job_id, _show)
    except KeyboardInterrupt as error:
        _leave(client, job_id)
        raise typer.Exit(INTERRUPTED) from error
    if job.status != "SUCCEEDED":
        say_error(f"job {job_id} {job.status.lower()}: {_first_line(job.message)}")
        raise typer.Exit(FAILED)
    return job


def _leave(client: JobClient, job_id: str) -> None:
    """Say how to come back, and stop the job if the person interrupts again at once."""
    try:
        say_error(
            f"\nleft; the job goes on. Follow it: roamrl jobs logs {job_id} --follow --address {client.url}\n"
            f"Ctrl-C again within {SECOND_CHANCE_S:.0f} s stops it"
        )
        time.sleep(SECOND_CHANCE_S)
    except KeyboardInterrupt:
        client.stop(job_id)
        say_error(f"stopped {job_id}; the same `roamrl submit` goes on where it stopped")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _first_line(text: str) -> str:
    return (text.strip() or "no reason given").splitlines()[0]
