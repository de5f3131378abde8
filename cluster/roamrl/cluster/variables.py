"""Environment variables for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


@contextmanager
def default_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that are not set, and take them away at the end; what a person has set stays as it is."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def hidden_variables(names: Sequence[str]) -> Iterator[None]:
    """Take variables away, and put them back at the end."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
