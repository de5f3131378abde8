"""Commands on recordings: ``traces import`` and ``traces ls``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.exit_codes import say_error

if TYPE_CHECKING:
    from roamrl.envs.radio.trace import Trace

app = typer.Typer(help="Recorded traffic and radio traces.", no_args_is_help=True, rich_markup_mode=None)


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder or file of recordings.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Leave bad lines out, and say so.")] = False,
) -> None:
    """Check recordings and put them into one Parquet file. Bad lines are named with file and line number."""
    from roamrl.envs.radio.traces import import_traces

    report = import_traces(source, out, skip_bad_lines=skip_bad_lines)
    _print_traces(report.traces)
    for line in report.bad_lines:
        say_error(f"left out: {line}")
    for file, reason in report.unused:
        say_error(f"not used: {file}: {reason}")
    typer.echo(f"\n{len(report.traces)} recordings in")
    typer.echo(str(report.out))


@app.command("ls")
def ls(source: Annotated[Path, typer.Argument(metavar="PATH", help="Folder or file of recordings.")]) -> None:
    """List recordings with the names by which studies call them."""
    from roamrl.envs.radio.traces import read_traces

    _print_traces(read_traces(source))


def _print_traces(traces: Iterable[Trace]) -> None:
    from roamrl.platform.cli.tables import Column, duration, number, print_table

    columns = [
        Column("name"),
        Column("kind"),
        Column("samples", "right"),
        Column("length", "right"),
        Column("Mbit/s", "right"),
        Column("frames/s", "right"),
    ]
    rows = [
        (
            trace.name,
            trace.kind,
            len(trace),
            duration(trace.duration_s),
            number(trace.mean_rate_mbps, 1) if trace.kind == "xr" else "-",
            number(trace.frame_rate_hz, 1) if trace.kind == "xr" else "-",
        )
        for trace in traces
    ]
    print_table(columns, rows)
