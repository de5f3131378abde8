"""Commands that read a finished run: ``recommend`` and ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Annotated

import typer

from roamrl.platform.cli.settings import JSONOption

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(recommend)
    app.command()(report)


def recommend(run: _Run, as_json: JSONOption = False) -> None:
    """Say which expert of a run to deploy, and why. Also how sure that is."""
    from roamrl.platform.cli.tables import print_json
    from roamrl.platform.report.recommend import recommend as choose

    _check_run(run)
    choice = choose(run)
    if as_json:
        print_json(asdict(choice))
        return
    typer.echo(choice.text)


def report(
    run: _Run,
    arms: Annotated[str, typer.Option(metavar="A,B,..", help="Show these arms alone; goes with --out.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for page and figures.")] = None,
) -> None:
    """Write the report of a run, or of a suite's runs, anew, and print the comparison. The last line is the page."""
    from roamrl.envs.errors import InputError
    from roamrl.platform.report.page import write_report
    from roamrl.platform.report.suite_page import SUITE_FILE

    _check_run(run)
    if (run / SUITE_FILE).is_file():
        _report_suite(run, parts=bool(arms or out))
        return
    if arms and out is None:
        raise InputError("--arms shows a part of the run: say with --out DIR where, so that the run's own report stays")
    shown = [name.strip() for name in arms.split(",") if name.strip()]
    page = write_report(run, shown, out)
    _print_comparison(run, shown)
    typer.echo(str(page))


def _report_suite(folder: Path, parts: bool) -> None:
    from roamrl.envs.errors import InputError
    from roamrl.platform.report.page import write_report
    from roamrl.platform.report.suite_page import finished_runs, write_suite_report

    runs = finished_runs(folder)
    if parts:
        raise InputError(
            f"{folder} is a suite's: --arms and --out go with one of its runs, {[run.name for run in runs]}"
        )
    for run in runs:
        write_report(run)
        typer.echo(f"{run.name}\n")
        _print_comparison(run, ())
    typer.echo(str(write_suite_report(folder)))


def _print_comparison(run: Path, arms: Sequence[str]) -> None:
    """Print the comparison over all targets, or those out of distribution, under each tuning protocol."""
    from roamrl.platform.cli.tables import WIDTH, Column, print_table
    from roamrl.platform.report.arms import TUNING_WORDS, target_views
    from roamrl.platform.report.comparison import comparisons
    from roamrl.platform.report.comparison_text import explained, text_tables
    from roamrl.platform.report.run_data import read_run

    data = read_run(run)
    data = data.only(arms) if arms else data
    found = comparisons(data, target_views(data), data.settings, pooled_alone=True)
    for comparison in found:
        if len(found) > 1:
            typer.echo(f"With {TUNING_WORDS[comparison.tuning]}\n")
        for table in text_tables(comparison):
            columns = [Column(name, "left" if place == 0 else "right") for place, name in enumerate(table.columns)]
            print_table(columns, table.rows, table.title)
            typer.echo("")
    if found:
        typer.echo(fill(explained(data), WIDTH) + "\n")


def _check_run(run: Path) -> None:
    from roamrl.envs.errors import InputError

    if not run.is_dir():
        raise InputError(f"there is no run folder {run}; 'roamrl run' prints the folder of a run as its last line")
