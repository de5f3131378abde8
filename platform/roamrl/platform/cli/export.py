"""The command ``export``: an expert as a file for the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roamrl.platform.cli.settings import DEFAULT_STORE, SignaturesOption, StoreOption


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(export)


def export(
    expert: Annotated[str, typer.Argument(help="Id, the beginning of one, or a tag.")],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="Write an ONNX model.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    signatures: SignaturesOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Export an expert as a model that runs without RoamRL."""
    from roamrl.platform.cli.tables import Column, print_table, size
    from roamrl.platform.export.write import write_onnx
    from roamrl.platform.store.store import ExpertStore

    found = ExpertStore.open(store, signatures=signatures).get(expert)
    exported = write_onnx(found, onnx, force=force)
    columns = [Column(""), Column("name"), Column("dtype"), Column("shape"), Column("meaning", fold=True)]
    ports = [("in", port) for port in exported.interface.inputs] + [
        ("out", port) for port in exported.interface.outputs
    ]
    rows = [(way, port.name, port.dtype, ", ".join(map(str, port.axes)), port.about) for way, port in ports]
    print_table(columns, rows)
    typer.echo(f"\ngreatest difference to the torch policy {exported.difference:.1e}")
    typer.echo(f"{onnx} ({size(len(exported.model))})")
