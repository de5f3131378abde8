"""The command ``roamrl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from roamrl.platform.cli import (
    bench,
    cluster,
    doctor,
    experts,
    export,
    jobs,
    lists,
    references,
    runs,
    serve,
    store,
    studies,
    submit,
    sweep,
    traces,
)
from roamrl.platform.cli.exit_codes import ReportingGroup

app = typer.Typer(
    name="roamrl",
    cls=ReportingGroup,
    help="Train policies for wireless networks on Ray, and measure what they are worth in networks they never saw.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
studies.add_to(app)
experts.add_to(app)
runs.add_to(app)
lists.add_to(app)
references.add_to(app)
export.add_to(app)
serve.add_to(app)
bench.add_to(app)
submit.add_to(app)
sweep.add_to(app)
doctor.add_to(app)
app.add_typer(store.app, name="store")
app.add_typer(traces.app, name="traces")
app.add_typer(jobs.app, name="jobs")
app.add_typer(cluster.app, name="cluster")


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the versions of RoamRL and of what it stands on."""
    import platform
    from importlib.metadata import version as installed

    from roamrl.platform.cli.tables import print_json

    names = ("roamrl", "ray", "torch", "gymnasium", "numpy", "numba", "pyarrow")
    versions = {name: installed(name) for name in names} | {"python": platform.python_version()}
    if as_json:
        print_json(versions)
        return
    for name, number in versions.items():
        typer.echo(f"{name:<10} {number}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    app(args=argv, prog_name="roamrl")
