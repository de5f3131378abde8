"""The command ``serve``: experts behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from roamrl.platform.cli.exit_codes import say_error
from roamrl.platform.cli.settings import DEFAULT_STORE, AddressOption, SignaturesOption, StoreOption

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(serve)


def serve(
    experts: Annotated[list[str], typer.Argument(metavar="EXPERT", help="Ids, beginnings of ids, or tags.")],
    host: Annotated[str, typer.Option("--host", help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="Processes that answer.")] = 1,
    address: AddressOption = None,
    signatures: SignaturesOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Serve experts over HTTP with Ray Serve, until Ctrl-C."""
    from roamrl.platform.serving.published import published_experts
    from roamrl.platform.serving.running import served
    from roamrl.platform.store.store import ExpertStore

    published = published_experts(ExpertStore.open(store, signatures=signatures), experts)
    try:
        with served(published, host=host, port=port, replicas=replicas, address=address) as endpoint:
            if host not in LOOPBACK:
                say_error(f"whoever reaches {host}:{port} can ask these experts; there are no passwords")
            for expert in published:
                typer.echo(f"POST {endpoint.url}/experts/{expert.names[0]}/act")
            typer.echo(f"GET  {endpoint.url}/experts")
            typer.echo(f"GET  {endpoint.url}/health")
            if endpoint.metrics:
                typer.echo(f"GET  {endpoint.metrics}")
            typer.echo("Ctrl-C ends it.")
            _wait()
    except KeyboardInterrupt:
        typer.echo("stopped")


def _wait() -> None:
    """Sleep until a signal comes."""
    import signal

    while True:
        signal.pause()
