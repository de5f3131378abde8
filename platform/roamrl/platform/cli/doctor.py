"""The command ``doctor``."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import fill
from typing import Annotated

import typer

from roamrl.platform.cli.exit_codes import FAILED
from roamrl.platform.cli.settings import JSONOption


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(doctor)


def doctor(
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|URL", help="Cluster, or its dashboard from elsewhere; this machine alone if left out."
        ),
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Expert store that runs will use.")] = None,
    shared: Annotated[str | None, typer.Option(metavar="DIR", help="Folder that every node must see.")] = None,
    as_json: JSONOption = False,
) -> None:
    """Check this machine, or a cluster, and say how to mend what is wrong. Code 1 if something is."""
    from roamrl.platform.cli.tables import WIDTH, Column, print_json, print_table
    from roamrl.platform.doctor.checks import Verdict
    from roamrl.platform.doctor.examine import examine

    found = examine(address, store, shared)
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        print_table(
            [Column("check", fold=True), Column(""), Column("found", fold=True)],
            [(check.name, check.verdict.value, check.found) for check in found],
        )
        for check in found:
            if check.mend:
                typer.echo("\n" + fill(f"{check.name}: {check.mend}", WIDTH, break_long_words=False))
    if any(check.verdict is Verdict.FAIL for check in found):
        raise typer.Exit(FAILED)
