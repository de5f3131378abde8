"""Commands about who made an expert: ``store keygen``, ``store sign`` and ``store trust ..``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roamrl.platform.cli.settings import DEFAULT_STORE, JSONOption, StoreOption

if TYPE_CHECKING:
    from roamrl.platform.store.trust_policy import Standing

trust_app = typer.Typer(help="The keys that you trust.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group ``store``."""
    app.command()(keygen)
    app.command()(sign)
    app.add_typer(trust_app, name="trust")


def keygen(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The private key; the public one is FILE.pub.")
    ] = Path("~/.config/roamrl/signing_key.pem"),
) -> None:
    """Make a key to sign experts with. The last line is the public key's file, which others may have."""
    from roamrl.platform.store.signing import generate_key, public_file

    path = out.expanduser()
    key = generate_key(path)
    typer.echo(f"key {key.id}", err=True)
    typer.echo(f"keep {path} to yourself; whoever is to trust you gets the file below", err=True)
    typer.echo(str(public_file(path)))


def sign(
    experts: Annotated[list[str], typer.Argument(metavar="EXPERT", help="Ids, beginnings of ids, or tags.")],
    key: Annotated[Path, typer.Option("--key", envvar="ROAMRL_SIGNING_KEY", metavar="FILE", help="The private key.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Sign experts: say with your key that they are what you want others to load."""
    from roamrl.platform.store.signing import read_signer
    from roamrl.platform.store.store import ExpertStore

    signer = read_signer(key.expanduser())
    opened = ExpertStore.open(store)
    for reference in experts:
        expert = opened.get(reference)
        done = "signed" if expert.sign(signer) else "was signed"
        typer.echo(f"{done} {expert.id}")


@trust_app.command("add")
def trust_add(
    name: Annotated[str, typer.Argument(help="What you call whoever holds the key.")],
    key: Annotated[str, typer.Argument(metavar="FILE|HEX", help="Public key: a .pub file, or 64 digits.")],
) -> None:
    """Trust a key. Compare its id with its owner's first, by a way that nobody else can write to."""
    from roamrl.platform.store.signing import read_public_key
    from roamrl.platform.store.trust import trust

    public = read_public_key(key)
    added = trust(name, public)
    typer.echo(f"{'trusted' if added else 'was trusted'}: {name}, key {public.id}")


@trust_app.command("ls")
def trust_ls(as_json: JSONOption = False) -> None:
    """List the keys that you trust."""
    from roamrl.platform.cli.tables import Column, print_json, print_table
    from roamrl.platform.store.trust import trusted_keys, trusted_keys_file

    keys = trusted_keys()
    if as_json:
        print_json([{"name": k.name, "key_id": k.key.id, "public_key": k.key.raw.hex()} for k in keys])
        return
    print_table([Column("name"), Column("key")], [(each.name, each.key.short) for each in keys])
    typer.echo(f"\n{len(keys)} keys in {trusted_keys_file()}")


@trust_app.command("rm")
def trust_rm(
    key: Annotated[str, typer.Argument(metavar="NAME|ID", help="Its name, or id (8 digits or more).")],
) -> None:
    """Trust a key no more, in whatever it signed at any time."""
    from roamrl.platform.store.trust import distrust

    gone = distrust(key)
    typer.echo(f"no longer trusted: {gone.name}, key {gone.key.id}")


def in_words(standings: Sequence[Standing]) -> str:
    """Return who signed, for ``store show``."""
    words = {
        "trusted": "by {name}, key {key}",
        "untrusted": "by key {key}, not trusted",
        "invalid": "INVALID, key {key}",
    }
    return (
        "; ".join(words[each.word].format(name=each.name, key=each.signature.key_id[:16]) for each in standings) or "-"
    )


def as_json(standings: Sequence[Standing]) -> list[dict[str, object]]:
    """Return who signed, for ``store show --json``."""
    return [{"key_id": each.signature.key_id, "name": each.name, "standing": each.word} for each in standings]
