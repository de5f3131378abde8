"""The command ``sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.exit_codes import FAILED, INTERRUPTED, say_error
from roamrl.platform.cli.settings import AddressOption, FreshOption, JSONOption, SetOption, TrackOption
from roamrl.platform.cli.studies import RESUME

if TYPE_CHECKING:
    from roamrl.platform.study.schema import Study
    from roamrl.platform.sweep.run import SweepSummary

MOST_ROWS = 20
"""Most candidates that the terminal lists; ``sweep.parquet`` has all."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(sweep)


def sweep(
    study: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Built-in study, or a YAML file, with 'search'.")],
    out: Annotated[str | None, typer.Option("--out", help="The sweep's folder; sweeps/NAME if left out.")] = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    fresh: FreshOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, print what would run, and stop.")] = False,
    store: Annotated[
        str | None,
        typer.Option("--store", envvar="ROAMRL_STORE", help="Publish the best trial's policies there; else nowhere."),
    ] = None,
    track: TrackOption = None,
    as_json: JSONOption = False,
) -> None:
    """Search the settings of a study's arm on val, or go on with it. The last line is the best settings' study file."""
    from roamrl.platform.study.load import load_study

    loaded = load_study(study, overrides or ())
    if dry_run:
        _print_plan(loaded, as_json)
        return
    from roamrl.platform.cli.progress import shown_progress
    from roamrl.platform.monitoring.trackers import tracked
    from roamrl.platform.sweep.run import run_sweep

    place = Path(out) if out else None
    try:
        with tracked(track or ()), shown_progress() as progress:
            done = run_sweep(loaded, out=place, address=address, fresh=fresh, store=store, progress=progress)
    except KeyboardInterrupt as error:
        say_error(RESUME)
        raise typer.Exit(INTERRUPTED) from error
    _say(done, as_json)


def _say(done: SweepSummary, as_json: bool) -> None:
    if as_json:
        from roamrl.platform.cli.tables import print_json
        from roamrl.platform.sweep.results import as_json as candidate_json

        rows = [candidate_json(each) for each in done.candidates]
        best = None if done.best is None else done.best.number
        print_json({"folder": str(done.folder), "best": best, "best_file": str(done.best_file or ""), "trials": rows})
    else:
        _print_table(done)
    for failure in done.failures:
        say_error(f"failed: {failure.unit}: {failure.error}")
    if not as_json:
        for expert in done.experts:
            typer.echo(f"expert: {expert}")
        typer.echo(f"report: {done.report}")
        typer.echo(str(done.best_file or done.folder))
    if done.failures:
        raise typer.Exit(FAILED)


def _print_table(done: SweepSummary) -> None:
    from roamrl.platform.cli.tables import Column, count, number, print_table
    from roamrl.platform.sweep.report import table_rows
    from roamrl.platform.sweep.trial import search_of

    names = [name.rpartition(".")[2] for name in search_of(done.study).spaces]
    rows = table_rows(done.study, done.candidates, done.best)
    columns = [Column("trial", "right"), *(Column(name, "right", fold=True) for name in names)]
    columns += [Column("score", "right"), Column("sd", "right"), Column("steps", "right"), Column("ending")]
    print_table(
        columns,
        [
            (
                f"{row.number}{'*' if row.best else ''}",
                *row.values,
                number(row.score),
                number(row.deviation),
                count(row.env_steps),
                row.ending,
            )
            for row in rows[:MOST_ROWS]
        ],
        f"arm {search_of(done.study).arm}, scored on {done.study.val}; * the best, 0 the study's own",
    )
    if len(rows) > MOST_ROWS:
        typer.echo(f"and {len(rows) - MOST_ROWS} more in {done.folder / 'sweep.parquet'}")
    typer.echo("")


def _print_plan(study: Study, as_json: bool) -> None:
    from dataclasses import asdict

    from roamrl.platform.cli.tables import count, duration, print_json
    from roamrl.platform.sweep.plan import plan_sweep

    plan = plan_sweep(study)
    if as_json:
        print_json(asdict(plan))
        return
    how = "as one population" if plan.trials == 1 else f"in {plan.trials} trials"
    typer.echo(f"arm {plan.arm}: {plan.settings} settings {how}, {plan.members} members in all")
    steps, windows, episodes = count(plan.steps), count(plan.windows), count(plan.evaluations)
    typer.echo(f"{steps} environment steps a member by the study's own settings, {windows} in all")
    typer.echo(f"{episodes} episodes of evaluation; about {duration(plan.seconds)} if nothing is stopped")
