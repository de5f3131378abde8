"""Commands that copy experts between stores: ``store push`` and ``store pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.exit_codes import FAILED, say_error
from roamrl.platform.cli.settings import DEFAULT_STORE, SignaturesOption, StoreOption

if TYPE_CHECKING:
    from roamrl.platform.store.transfer import TransferReport


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group ``store``."""
    app.command()(push)
    app.command()(pull)


def push(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="FROM TO [EXPERT..]", help="Two stores; ids or tags, all experts if left out."),
    ] = None,
    spooled: Annotated[
        bool, typer.Option("--spooled", help="Bring what waits on this node to TO, or to --store.")
    ] = False,
    signatures: SignaturesOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy experts with their weights and signatures from one store to another.

    What is there already is left alone, so a copy that was cut off can be repeated. Tags stay where they are.
    """
    from roamrl.envs.errors import InputError
    from roamrl.platform.store.store import ExpertStore

    given = places or []
    if spooled:
        if len(given) > 1:
            raise InputError("--spooled takes one store, the one that what waits was published to")
        target = ExpertStore.open(given[0] if given else store, spooling=True)
        _say(target.deliver())
        return
    if len(given) < 2:
        raise InputError("push needs two stores: roamrl store push FROM TO [EXPERT..]")
    source, target = ExpertStore.open(given[0]), ExpertStore.open(given[1], signatures=signatures)
    _say(source.copy_to(target, given[2:]))


def pull(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The store to copy from.")],
    experts: Annotated[
        list[str] | None, typer.Argument(metavar="EXPERT", help="Ids or tags there; all if left out.")
    ] = None,
    signatures: SignaturesOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy experts from another store into --store, as push does."""
    from roamrl.platform.store.store import ExpertStore

    _say(ExpertStore.open(source).copy_to(ExpertStore.open(store, signatures=signatures), experts or ()))


def _say(report: TransferReport) -> None:
    from roamrl.platform.cli.tables import size

    typer.echo(
        f"copied {report.copied} experts ({size(report.bytes)}) and {report.signatures} signatures; "
        f"{report.there} were there"
    )
    if report.retracted:
        typer.echo(f"{report.retracted} were not copied: they are retracted there")
    if report.invalid:
        say_error(f"{report.invalid} signatures were not copied: they are not valid")
    if report.refused:
        for expert in report.refused:
            say_error(f"not copied: {expert[:12]} has no signature by a trusted key")
        raise typer.Exit(FAILED)
