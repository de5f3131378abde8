"""Commands that list what there is: ``families``, ``strategies``, ``studies``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from textwrap import fill
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from roamrl.platform.cli.exit_codes import FAILED, say_error
from roamrl.platform.cli.settings import JSONOption

if TYPE_CHECKING:
    from roamrl.algorithms.strategy import Strategy
    from roamrl.envs.context import Law
    from roamrl.envs.family import Family
    from roamrl.platform.study.schema import Study

_Found = TypeVar("_Found")

_LAW_WIDTH = 18


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(families)
    app.command()(strategies)
    app.command()(studies)


def families(as_json: JSONOption = False) -> None:
    """List the task families with their context variables."""
    from roamrl.envs.family import family_names, get_family
    from roamrl.platform.cli.tables import WIDTH, Column, print_json, print_table

    found, broken = _load("family", family_names(), get_family)
    if as_json:
        print_json([_family_json(family) for family in found])
    else:
        for family in found:
            typer.echo(fill(f"{family.id}: {family.about}", WIDTH) + "\n")
            rows = [
                (row["name"], row["unit"], _short(row["train"]), _short(row["ood"]), row["visibility"])
                for row in _context_json(family)
            ]
            columns = [Column("context"), Column("unit"), Column("train"), Column("ood")]
            print_table([*columns, Column("visibility")], rows)
            typer.echo("")
    _end(broken)


def strategies(as_json: JSONOption = False) -> None:
    """List the ways to generalise."""
    from roamrl.algorithms.strategy import get_strategy, strategy_names
    from roamrl.platform.cli.tables import Column, print_json, print_table

    found, broken = _load("strategy", strategy_names(), get_strategy)
    if as_json:
        print_json([_strategy_json(strategy) for strategy in found])
    else:
        words = Column("what it does, from where, what it needs", fold=True)
        columns = [Column("strategy"), Column("pretrains on"), words]
        said = [f"{one.about}\n{one.paper}\nneeds: {one.needs.describe()}" for one in found]
        print_table(columns, [(one.name, one.pretrains_on, text) for one, text in zip(found, said, strict=True)])
    _end(broken)


def studies(as_json: JSONOption = False) -> None:
    """List the built-in studies, and the suites of them."""
    from roamrl.platform.cli.tables import Column, print_json, print_table
    from roamrl.platform.study.load import load_study, study_names
    from roamrl.platform.study.suite import builtin_suite, describe, suite_names

    found, broken = _load("study", study_names(), load_study)
    suites, more = _load("suite", suite_names(), builtin_suite)
    if as_json:
        print_json([*(_study_json(study) for study in found), *(describe(suite) for suite in suites)])
    else:
        columns = [Column("study"), Column("family"), Column("arms", fold=True), Column("what it asks", fold=True)]
        print_table(columns, [(study.name, study.family, ", ".join(study.arms), study.about) for study in found])
        typer.echo("")
        columns = [Column("suite"), Column("studies", fold=True), Column("what it asks", fold=True)]
        print_table(columns, [(suite.name, ", ".join(describe(suite)["studies"]), suite.about) for suite in suites])
    _end([*broken, *more])


def _load(kind: str, names: Sequence[str], load: Callable[[str], _Found]) -> tuple[list[_Found], list[str]]:
    """Load each, so that one broken package does not hide the others; return also what is wrong."""
    from roamrl.envs.errors import InputError

    found: list[_Found] = []
    broken: list[str] = []
    for name in names:
        try:
            found.append(load(name))
        except (ImportError, AttributeError, InputError) as error:
            broken.append(f"{kind} {name!r} cannot be loaded: {error}")
    return found, broken


def _end(broken: Sequence[str]) -> None:
    for line in broken:
        say_error(line)
    if broken:
        raise typer.Exit(FAILED)


def _family_json(family: Family) -> dict[str, Any]:
    config = family.config()
    return {
        "id": family.id,
        "about": family.about,
        "measures": list(family.measures),
        "config": config,
        "context": _context_json(family),
        "references": {name: reference.role for name, reference in family.references(config).items()},
        "splits": {name: len(split) for name, split in family.splits(config).items()},
    }


def _context_json(family: Family) -> list[dict[str, Any]]:
    return [
        {
            "name": variable.name,
            "unit": variable.unit,
            "default": variable.default,
            "train": _describe(variable.train),
            "ood": _describe(variable.ood),
            "visibility": variable.visibility,
            "affects": list(variable.affects),
            "about": variable.about,
        }
        for variable in family.context_space(family.config()).variables
    ]


def _describe(law: Law | None) -> str | None:
    return None if law is None else law.describe()


def _short(law: str | None) -> str:
    """Return a range for a table; long ones are given in full by ``--json``."""
    text = law or "-"
    return text if len(text) <= _LAW_WIDTH else text[: _LAW_WIDTH - 1] + "…"


def _strategy_json(strategy: type[Strategy[Any]]) -> dict[str, Any]:
    settings = {field.name: field.default for field in fields(strategy.config_class)}
    return {
        "name": strategy.name,
        "about": strategy.about,
        "paper": strategy.paper,
        "pretrains_on": strategy.pretrains_on,
        "needs": asdict(strategy.needs),
        "settings": settings,
    }


def _study_json(study: Study) -> dict[str, Any]:
    return {
        "name": study.name,
        "about": study.about,
        "family": study.family,
        "arms": {name: arm.strategy for name, arm in study.arms.items()},
        "targets": list(study.targets),
    }
