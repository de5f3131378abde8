"""The command ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from roamrl.platform.bench.measure import Row
    from roamrl.platform.bench.result import Benchmark

FIGURE_KINDS = (".png", ".svg", ".pdf")
SUITE_NAMES = ("env", "rollout", "train", "scale", "all", "serving", "store", "profile")
SHARE = "share of "
"""How the metric of a profile's rows begins."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(bench)


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE", help=f"What to measure, one of {', '.join(SUITE_NAMES)}; 'profile': where the time goes."
        ),
    ] = "all",
    family: Annotated[str, typer.Option(help="Family measured beside the toy.")] = "slicing-v1",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Draw how cost grows (scale, all).")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of interleaved turns.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Some two minutes: shorter turns, fewer sizes.")] = False,
) -> None:
    """Measure speed against other libraries, in turns."""
    from roamrl.envs.errors import InputError, unknown_name
    from roamrl.envs.family import get_family

    if suite not in SUITE_NAMES:
        raise unknown_name("benchmark", suite, SUITE_NAMES)
    get_family(family)
    for option, file in (("--json", json_file), ("--figure", figure)):
        if file is not None and not file.absolute().parent.is_dir():
            raise InputError(f"there is no folder {file.absolute().parent} for {option}; make it first")
    if figure is not None and (suite not in ("scale", "all") or figure.suffix not in FIGURE_KINDS):
        kinds = ", ".join(FIGURE_KINDS)
        raise InputError(f"--figure draws what 'scale' and 'all' measure into a file that ends in {kinds}")
    from rich.console import Console

    _quiet_profiler()
    from roamrl.platform.bench.run import ALL, run_benchmark
    from roamrl.platform.bench.suites import Effort

    console = Console(stderr=True, highlight=False)
    effort = Effort(
        rounds=min(rounds, 3) if quick else rounds,
        seconds=0.2 if quick else 1.0,
        quick=quick,
        family=family,
        say=lambda what: console.print(what),
    )
    names = ALL if suite == "all" else (suite,)
    result = run_benchmark(names, effort, lambda known: _write(known, json_file))
    if figure is not None:
        from roamrl.platform.bench.figure import write_growth

        write_growth(result.rows, figure)
    _print(result)


def _quiet_profiler() -> None:
    """Keep torch's profiler from telling of its start and stop; it reads this when torch is imported."""
    import os

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def _write(result: Benchmark, file: Path | None) -> None:
    import json

    from roamrl.envs.atomic_file import write_atomically

    if file is not None:
        write_atomically(file, (json.dumps(result.to_json(), indent=2) + "\n").encode())


def _print(result: Benchmark) -> None:
    from textwrap import wrap

    from roamrl.platform.cli.tables import Column, print_table, terminal_width

    columns = [
        Column("variant"),
        Column("ours", "right"),
        Column("peer"),
        Column("theirs", "right"),
        Column("ratio", "right"),
        Column("target", "right"),
    ]
    parts = [Column("part"), *(Column(name, "right") for name in ("share", "range", "calls", "each", "without"))]
    for title in dict.fromkeys(_title(row) for row in result.rows):
        rows = [row for row in result.rows if _title(row) == title]
        if rows[0].metric.startswith(SHARE):
            print_table(parts, [_part_cells(row) for row in rows], title=title)
        else:
            print_table(columns, [_cells(row) for row in rows], title=title)
        typer.echo("")
    data = result.to_json()
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    for line in (
        f"{data['machine']}; load {result.load:.1f}",
        f"commit {data['commit']}",
        *wrap(versions, terminal_width()),
    ):
        typer.echo(line)
    missed = [row for row in result.rows if row.met is False]
    asked = sum(row.met is not None for row in result.rows)
    if asked:
        typer.echo(f"{len(missed)} of {asked} targets missed")


def _title(row: Row) -> str:
    whole = f" ({_moment(row.notes['whole_s'])})" if "whole_s" in row.notes else ""
    return f"{row.work}: {row.metric}{whole}"


def _part_cells(row: Row) -> tuple[str, ...]:
    """Return a part's name, share of the whole, its spread in %, calls, time of a call, speed without the part."""
    from roamrl.platform.cli.tables import count

    notes = row.notes
    calls = notes.get("calls")
    return (
        row.variant,
        f"{row.value:.1%}",
        f"{100 * notes['least']:.0f}..{100 * notes['most']:.0f}",
        "" if calls is None else f"{calls:.1f}" if calls < 1000 else count(calls),
        _moment(1e-9 * notes["nanoseconds"]) if calls else "",
        f"{1.0 / (1.0 - row.value):.2f} x",
    )


def _moment(seconds: float) -> str:
    """Return a time in a few characters: 93 ns, 20.1 µs, 1.2 s."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1e9 * seconds:.0f} ns"


def _cells(row: Row) -> tuple[str, ...]:
    from roamrl.platform.cli.tables import count

    def size(value: float | None) -> str:
        if value is None:
            return ""
        return count(int(value)) if value >= 1000 else f"{value:.2f}"

    ratio = ""
    if row.ratio_median is not None and row.ratio_min is not None and row.ratio_max is not None:
        ratio = f"{row.ratio_median:.3g} ({row.ratio_min:.2g}..{row.ratio_max:.2g})"
    target = ""
    if row.target is not None:
        target = f"{'<=' if row.at_most else '>='} {size(row.target)}{'' if row.met else ' !'}"
    return row.variant, size(row.value), row.peer, size(row.peer_value), ratio, target
