"""Commands on the expert store: ``store ls``, ``show``, ``verify``, ``gc`` and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli import store_signing, store_transfer
from roamrl.platform.cli.exit_codes import FAILED, say_error
from roamrl.platform.cli.settings import DEFAULT_STORE, JSONOption, SignaturesOption, StoreOption

if TYPE_CHECKING:
    from roamrl.platform.store.entry import Entry
    from roamrl.platform.store.query import Condition
    from roamrl.platform.store.store import ExpertStore

app = typer.Typer(help="The expert store.", no_args_is_help=True, rich_markup_mode=None)
store_transfer.add_to(app)
store_signing.add_to(app)

_Expert = Annotated[str, typer.Argument(metavar="EXPERT", help="Id, the beginning of one, or a tag.")]
_Text = str | None


@app.command()
def init(
    store: Annotated[
        str, typer.Argument(metavar="DIR|URL", envvar="ROAMRL_STORE", help="Its folder, or s3://bucket/prefix.")
    ] = DEFAULT_STORE,
) -> None:
    """Make a store in a new or empty place. Says what the storage can do."""
    from roamrl.platform.store.store import ExpertStore

    made = ExpertStore.init(store)
    for line in made.probe().words():
        typer.echo(line, err=True)
    typer.echo(made.location)


@app.command()
def ls(
    family: Annotated[_Text, typer.Option("--family", help="Of this family.")] = None,
    strategy: Annotated[_Text, typer.Option("--strategy", help="Of this strategy.")] = None,
    study: Annotated[_Text, typer.Option("--study", help="Made by this study.")] = None,
    score: Annotated[_Text, typer.Option("--score", metavar="SPLIT=X", help="At least X on that split.")] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", metavar="K=V", help="Value, or range LOW..HIGH; repeatable.")
    ] = None,
    as_json: JSONOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List experts, oldest first."""
    opened = _open(store)
    entries = opened.find(
        family=family,
        strategy=strategy,
        study=study,
        split_score=_split_score(score) if score else None,
        context=dict(_condition(pair) for pair in context or ()),
    )
    if as_json:
        from roamrl.platform.cli.tables import print_json

        print_json([_entry_json(entry) for entry in entries])
    else:
        _print_entries(entries, opened.tags())
    _tell_problems(opened)


@app.command()
def show(expert: _Expert, as_json: JSONOption = False, store: StoreOption = DEFAULT_STORE) -> None:
    """Show what the store knows of an expert."""
    opened = _open(store)
    found = opened.get(expert)
    entry, signatures = found.entry, found.signatures()
    if as_json:
        from roamrl.platform.cli.tables import print_json

        print_json({**_entry_json(entry), "signatures": store_signing.as_json(signatures)})
        return
    _print_entry(
        entry,
        [name for name, named in opened.tags().items() if named == entry.id],
        store_signing.in_words(signatures),
    )


@app.command()
def verify(signatures: SignaturesOption = None, store: StoreOption = DEFAULT_STORE) -> None:
    """Read everything and check it against what names it.

    With --signatures enforce, an expert that no trusted key signed is a problem, too.
    """
    from roamrl.platform.cli.tables import size
    from roamrl.platform.store.store import ExpertStore

    report = ExpertStore.open(store, signatures=signatures).verify()
    typer.echo(
        f"{report.entries} experts, {report.blobs} weight files ({size(report.bytes)}), {report.tags} tags, "
        f"{report.retracted} retracted"
    )
    typer.echo(f"signatures: {report.trusted} by trusted keys, {report.untrusted} by others, {report.invalid} invalid")
    for problem in report.problems:
        say_error(f"{problem.key}: {problem.message}")
    if not report.ok:
        raise typer.Exit(FAILED)
    typer.echo("nothing is wrong")


@app.command()
def gc(
    grace_h: Annotated[float, typer.Option("--grace", min=0, metavar="HOURS", help="Spare what is younger.")] = 24.0,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove weights nobody refers to, and what killed writers left."""
    from roamrl.platform.cli.tables import size

    report = _open(store).gc(grace_h * 3600)
    typer.echo(
        f"removed {report.blobs} weight files ({size(report.bytes)}), {report.temporary} temporary files, "
        f"{report.snapshots} old index snapshots; put back {report.restored}"
    )


@app.command()
def compact(store: StoreOption = DEFAULT_STORE) -> None:
    """Write one index file of all experts, for quick reading."""
    typer.echo(_open(store).compact() or "the store is empty")


@app.command()
def tag(
    name: Annotated[str, typer.Argument(help="The name.")], expert: _Expert, store: StoreOption = DEFAULT_STORE
) -> None:
    """Let a name stand for an expert from now on."""
    _open(store).tag(name, expert)


@app.command()
def rm(
    expert: _Expert,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who look for it.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Retract an expert. It is listed no more, and 'gc' may free its weights."""
    _open(store).retract(expert, reason)


def _open(store: str) -> ExpertStore:
    from roamrl.platform.store.store import ExpertStore

    return ExpertStore.open(store)


def _split_score(text: str) -> tuple[str, float]:
    from roamrl.envs.errors import InputError

    split, _, least = text.rpartition("=")
    try:
        return split, float(least)
    except ValueError as error:
        raise InputError(f"--score {text!r} has not the form SPLIT=X, e.g. val=0.5") from error


def _condition(pair: str) -> tuple[str, Condition]:
    from roamrl.envs.errors import InputError

    name, equals, text = pair.partition("=")
    if not name or not equals:
        raise InputError(f"--context {pair!r} has not the form name=value or name=low..high")
    low, dots, high = text.partition("..")
    try:
        return name, (float(low), float(high)) if dots else float(text)
    except ValueError:
        return name, text


def _print_entries(entries: Sequence[Entry], tags: dict[str, str]) -> None:
    from roamrl.platform.cli.tables import Column, count, print_table

    columns = [
        Column("expert"),
        Column("strategy"),
        Column("study"),
        Column("steps", "right"),
        Column("scores", fold=True),
        Column("tags", fold=True),
    ]
    rows = [
        (
            entry.short,
            entry.manifest.strategy,
            entry.manifest.study or "-",
            count(entry.manifest.env_steps),
            ", ".join(f"{split} {score.mean:.2f}" for split, score in entry.manifest.scores.items()) or "-",
            ", ".join(name for name, named in tags.items() if named == entry.id) or "-",
        )
        for entry in entries
    ]
    print_table(columns, [[_printable(cell) for cell in row] for row in rows])
    typer.echo(f"\n{len(entries)} experts")


def _print_entry(entry: Entry, tags: Iterable[str], signed: str) -> None:
    from roamrl.platform.cli.tables import Column, count, duration, number, print_table, size

    manifest = entry.manifest
    facts = {
        "expert": entry.id,
        "tags": ", ".join(tags) or "-",
        "family": manifest.family,
        "strategy": manifest.strategy,
        "study": manifest.study or "-",
        "split": manifest.split or "-",
        "tasks": str(len(manifest.tasks)),
        "seed": str(manifest.seed),
        "trained": f"{count(manifest.env_steps)} steps, {duration(manifest.cpu_s)} of CPU time, {manifest.algorithm}",
        "module": f"{manifest.module.get('kind', '-')}, {size(manifest.blob.size)}",
        "parents": ", ".join(parent[:12] for parent in manifest.parents) or "-",
        "commit": manifest.commit or "-",
        "signed": signed,
        "published": f"{entry.envelope.published} by {entry.envelope.publisher}",
    }
    for name, value in facts.items():
        typer.echo(f"{name:<10} {_printable(value)}")
    if manifest.scores:
        typer.echo("")
        columns = [Column("split"), Column("score", "right"), Column("interval", "right"), Column("episodes", "right")]
        rows = [
            (_printable(split), number(score.mean), f"{number(score.low)} .. {number(score.high)}", score.episodes)
            for split, score in manifest.scores.items()
        ]
        print_table(columns, rows)


def _printable(text: str) -> str:
    """Return a stranger's text without what would steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _entry_json(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "envelope": entry.envelope.model_dump(mode="json"),
        "manifest": entry.manifest.model_dump(mode="json"),
    }


def _tell_problems(store: ExpertStore) -> None:
    """Say what could not be read, without failing: everything else is unaffected."""
    for problem in store.problems:
        say_error(f"cannot be read: {problem.key}: {problem.message}")
