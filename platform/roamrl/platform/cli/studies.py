"""Commands that start from a study: ``init`` and ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.exit_codes import FAILED, INTERRUPTED, say_error
from roamrl.platform.cli.settings import (
    DEFAULT_STORE,
    AddressOption,
    FreshOption,
    OutOption,
    SetOption,
    StoreOption,
    TrackOption,
)

if TYPE_CHECKING:
    from roamrl.platform.study.run import RunSummary
    from roamrl.platform.study.schema import Study

RESUME = "interrupted; the same command (without --fresh) goes on where this one stopped"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(init)
    app.command()(run)


def init(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")]) -> None:
    """Write a commented study to start from."""
    from roamrl.platform.study.template import write_template

    path = write_template(directory)
    typer.echo(f"edit it, then: roamrl run {path}")
    typer.echo(str(path))


def run(
    study: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Built-in study or suite, or a YAML file.")],
    out: OutOption = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    fresh: FreshOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
    store: StoreOption = DEFAULT_STORE,
    track: TrackOption = None,
) -> None:
    """Run a study or a suite of them, or go on with one. The last line is the run's folder."""
    from roamrl.platform.study.load import load_study
    from roamrl.platform.study.suite import find_suite, run_suite

    suite = find_suite(study, overrides or ())
    studies = suite.studies if suite else (load_study(study, overrides or ()),)
    if dry_run:
        for one in studies:
            _print_plan(one, titled=suite is not None)
        return
    from roamrl.platform.cli.progress import shown_progress
    from roamrl.platform.monitoring.trackers import tracked
    from roamrl.platform.study.run import run_study

    place = Path(out) if out else None
    try:
        with tracked(track or ()), shown_progress() as progress:
            if suite:
                done = run_suite(suite, out=place, address=address, fresh=fresh, store=store, progress=progress)
            else:
                done = run_study(studies[0], out=place, address=address, fresh=fresh, store=store, progress=progress)
    except KeyboardInterrupt as error:
        say_error(RESUME)
        raise typer.Exit(INTERRUPTED) from error
    _say(done)


def _say(done: RunSummary) -> None:
    if done.failed:
        say_error(f"{done.failed} units failed; the report lists them, and the same command tries them again")
    for file in done.recovered:
        typer.echo(f"a trial went on from an older checkpoint, at no cost but time: {file}")
    typer.echo(f"training curves: tensorboard --logdir {done.folder}")
    typer.echo(f"report: {done.report}")
    typer.echo(str(done.folder))
    if done.failed:
        raise typer.Exit(FAILED)


def _print_plan(study: Study, titled: bool) -> None:
    from roamrl.platform.cli.tables import Column, count, duration, print_table, size
    from roamrl.platform.study.plan import plan_study

    plan = plan_study(study)
    if titled:
        typer.echo(f"\n{study.name}")
    columns = [
        Column("stage"),
        Column("arm"),
        Column("units", "right"),
        Column("members", "right"),
        Column("windows", "right"),
        Column("time", "right"),
    ]
    print_table(
        columns,
        [
            (row.stage, row.arm, row.units, row.members, count(row.windows), duration(row.seconds))
            for row in plan.rows()
        ],
    )
    typer.echo(
        f"\n{count(plan.windows)} windows to simulate, about {duration(plan.seconds)} on {plan.cores} cores, "
        f"about {size(plan.memory_mb * 1e6)} of memory"
    )
