"""Commands on single experts: ``train`` one, ``evaluate`` one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.exit_codes import FAILED, INTERRUPTED, say_error
from roamrl.platform.cli.settings import (
    DEFAULT_STORE,
    AddressOption,
    FreshOption,
    JSONOption,
    OutOption,
    SetOption,
    SignaturesOption,
    StoreOption,
    parse_settings,
)
from roamrl.platform.cli.studies import RESUME

if TYPE_CHECKING:
    from roamrl.envs.task import Task
    from roamrl.platform.evaluation.evaluate import TaskScore
    from roamrl.platform.store.manifest import Manifest
    from roamrl.platform.study.schema import Study

_Pairs = list[str] | None


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(train)
    app.command()(evaluate)


def train(
    strategy: Annotated[str, typer.Argument(help="Strategy, see 'roamrl strategies'.")],
    split: Annotated[str, typer.Option("--split", help="Published split to train on.")] = "train",
    family: Annotated[str, typer.Option("--family", help="Family, see 'roamrl families'.")] = "slicing-v1",
    first: Annotated[int | None, typer.Option("--first", min=1, help="Only so many tasks of the split.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Environment steps a member.")] = 1_000_000,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Independent members.")] = 1,
    config: Annotated[_Pairs, typer.Option("--config", metavar="K=V", help="Family config; repeatable.")] = None,
    setting: Annotated[_Pairs, typer.Option("--setting", metavar="K=V", help="Of the strategy; repeatable.")] = None,
    out: OutOption = None,
    address: AddressOption = None,
    fresh: FreshOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Train one strategy on one split and publish it. The last line is the run's folder."""
    from roamrl.platform.cli.progress import shown_progress
    from roamrl.platform.study.single import train_one, training_study

    study = training_study(
        strategy,
        family=family,
        split=split,
        first=first,
        steps=steps,
        seeds=seeds,
        config=parse_settings(config, "--config"),
        settings=parse_settings(setting, "--setting"),
    )
    try:
        with shown_progress() as progress:
            summary = train_one(
                study, out=Path(out) if out else None, address=address, fresh=fresh, store=store, progress=progress
            )
    except KeyboardInterrupt as error:
        say_error(RESUME)
        raise typer.Exit(INTERRUPTED) from error
    for expert in summary.experts:
        typer.echo(f"expert {expert}")
    typer.echo(str(summary.folder))
    if summary.failed:
        say_error(f"{summary.failed} units failed, see {summary.folder / 'failures.json'}")
        raise typer.Exit(FAILED)


def evaluate(
    expert: Annotated[str, typer.Argument(help="Id, the beginning of one, or a tag.")],
    split: Annotated[str, typer.Option("--split", help="Split of the study, or published with the family.")],
    study: Annotated[str | None, typer.Option("--study", help="Study whose splits to use: NAME or FILE.")] = None,
    overrides: SetOption = None,
    episodes: Annotated[int, typer.Option("--episodes", min=2, help="Episodes a task.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Evaluation seed.")] = 1_000_003,
    as_json: JSONOption = False,
    signatures: SignaturesOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Score an expert on every task of a split. 0 is the trivial policy, 1 the oracle."""
    from roamrl.platform.evaluation.evaluate import evaluate_expert
    from roamrl.platform.store.store import ExpertStore

    found = ExpertStore.open(store, signatures=signatures).get(expert)
    tasks, names = _tasks(found.manifest, split, study, overrides or ())
    scores = evaluate_expert(found, tasks, names, episodes=episodes, seed=seed)
    if as_json:
        from roamrl.platform.cli.tables import print_json

        print_json({"expert": found.id, "split": split, "episodes": episodes, "tasks": [asdict(s) for s in scores]})
        return
    _print_scores(scores)


def _tasks(manifest: Manifest, split: str, study: str | None, overrides: Sequence[str]) -> tuple[list[Task], list[str]]:
    """Return a split's tasks and names: a study's, or those that the expert's family publishes."""
    if study is not None:
        from roamrl.platform.study.load import load_study

        return _study_tasks(load_study(study, overrides), split)
    from roamrl.envs.family import get_family
    from roamrl.envs.split import pick
    from roamrl.platform.study.load import load_study, study_names

    family = get_family(manifest.family)
    published = family.splits(family.config(manifest.config))
    if split not in published and manifest.study in study_names():
        return _study_tasks(load_study(manifest.study, overrides), split)
    _open_recordings(overrides)
    tasks = list(pick(published, split))
    return tasks, [f"{split}-{number}" for number in range(len(tasks))]


def _study_tasks(study: Study, split: str) -> tuple[list[Task], list[str]]:
    from roamrl.envs.errors import unknown_name
    from roamrl.platform.study.tasks import study_splits

    splits = study_splits(study)
    if split not in splits:
        raise unknown_name(f"split of study {study.name!r}", split, splits)
    return [named.task for named in splits[split]], [named.name for named in splits[split]]


def _open_recordings(overrides: Sequence[str]) -> None:
    """Open the recordings of ``traces=DIR``; without a study there is nothing else to set."""
    from roamrl.envs.errors import InputError
    from roamrl.envs.radio.trace_library import open_traces

    settings = parse_settings(overrides, "--set")
    strangers = sorted(set(settings) - {"traces"})
    if strangers:
        raise InputError(f"--set {strangers[0]}=.. needs a study to override: give one with --study")
    if "traces" in settings:
        open_traces(str(settings["traces"]))


def _print_scores(scores: Sequence[TaskScore]) -> None:
    from roamrl.platform.cli.tables import Column, number, print_table

    columns = [
        Column("task"),
        Column("score", "right"),
        Column("return", "right"),
        Column("95 % interval", "right"),
        Column("trivial", "right"),
        Column("oracle", "right"),
        Column("violations", "right"),
    ]
    rows = [
        (
            score.task_name,
            number(score.score),
            number(score.return_mean, 2),
            f"{number(score.return_low, 2)} .. {number(score.return_high, 2)}",
            number(score.return_trivial, 2),
            number(score.return_oracle, 2),
            number(score.violation_rate),
        )
        for score in scores
    ]
    print_table(columns, rows)
    typer.echo(f"\nmean score {number(sum(score.score for score in scores) / len(scores))} over {len(scores)} tasks")
    for measure in sorted(scores[0].measures):
        typer.echo(f"mean {measure} {sum(score.measures[measure] for score in scores) / len(scores):.3g}")
