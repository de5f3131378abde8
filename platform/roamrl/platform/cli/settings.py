"""Options that several commands share, and ``key=value`` settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

DEFAULT_STORE = "store"

StoreOption = Annotated[
    str, typer.Option("--store", envvar="ROAMRL_STORE", help="Expert store: a folder, or s3://bucket/prefix.")
]
SignaturesOption = Annotated[
    str | None,
    typer.Option(
        "--signatures",
        envvar="ROAMRL_SIGNATURES",
        metavar="off|warn|enforce",
        help="Experts that no trusted key signed. [default: warn if a key is trusted]",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Ray cluster, host:port; this machine if left out.")
]
OutOption = Annotated[str | None, typer.Option("--out", help="The run's folder; runs/NAME if left out.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Forget an earlier run in that folder.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="Override a value of the study, a.b=c; repeatable.")
]
TrackOption = Annotated[
    list[str] | None, typer.Option(metavar="mlflow|wandb", help="Tell a tracker of every trial; repeatable.")
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_settings(pairs: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Return ``a.b=value`` pairs as nested values; each value is YAML.

    Raises:
        InputError: If a pair has another form.
    """
    import yaml

    from roamrl.envs.errors import InputError

    settings: dict[str, Any] = {}
    for pair in pairs or ():
        path, equals, text = pair.partition("=")
        *parents, last = path.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise InputError(f"{option} {pair!r}: {parent!r} was given a value before; it cannot be a group too")
        if not equals or not last:
            raise InputError(f"{option} {pair!r} has not the form name=value")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"{option} {pair!r}: the value is not YAML") from error
    return settings
