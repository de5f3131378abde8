"""Environment variables for a while; what a person has set stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def default_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that are not set, and take them away at the end."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
