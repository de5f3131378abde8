"""The command ``references``."""

from __future__ import annotations

from typing import Annotated

import typer

from roamrl.platform.cli.settings import JSONOption, parse_settings


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(references)


def references(
    family: Annotated[str, typer.Argument(help="Family, see 'roamrl families'.")] = "slicing-v1",
    split: Annotated[str, typer.Option("--split", help="Published split.")] = "iid",
    first: Annotated[int | None, typer.Option("--first", min=1, help="Only so many tasks of the split.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes a task.")] = 20,
    config: Annotated[
        list[str] | None, typer.Option("--config", metavar="K=V", help="Family config; repeatable.")
    ] = None,
    as_json: JSONOption = False,
) -> None:
    """Play the policies nobody trained on a split: scores and cost."""
    from dataclasses import asdict

    from roamrl.envs.errors import unknown_name
    from roamrl.envs.family import get_family
    from roamrl.platform.cli.tables import Column, number, print_json, print_table
    from roamrl.platform.evaluation.reference_table import reference_table

    known = get_family(family)
    splits = known.splits(known.config(parse_settings(config, "--config")))
    if split not in splits:
        raise unknown_name("split", split, splits)
    tasks = splits[split].tasks[:first]
    table = reference_table(tasks, episodes=episodes)
    if as_json:
        print_json([asdict(row) for row in table])
        return
    typer.echo(f"{known.id}, split {split}: {len(tasks)} tasks, {episodes} episodes each\n")
    columns = [Column("reference"), Column("role")]
    columns += [Column(name, "right") for name in ("return", "score", "violations", "CPU ms/episode")]
    rows = [
        (
            row.name,
            row.role,
            number(row.return_mean, 2),
            number(row.score, 2),
            _rate(row.violation_rate),
            number(row.cpu_ms, 1),
        )
        for row in table
    ]
    print_table(columns, rows)


def _rate(rate: float) -> str:
    """Return a rate with two digits that mean something, however rare what it counts."""
    return "-" if rate != rate else f"{rate:.2g}"
