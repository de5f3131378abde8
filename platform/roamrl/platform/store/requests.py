"""Many requests to a backend: one after the other on a folder, several at once over a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from roamrl.platform.store.backend import Backend

AT_ONCE = 16
BLOBS_AT_ONCE = 4
"""Where each request brings an expert's weights, all of which are held in memory."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def for_each(
    backend: Backend, ask: Callable[[_Item], _Answer], items: Iterable[_Item], at_once: int = AT_ONCE
) -> list[_Answer]:
    """Return what a function that asks the backend answers for each item, in their order."""
    given = list(items)
    if not backend.remote or len(given) < 2:
        return [ask(item) for item in given]
    with ThreadPoolExecutor(min(at_once, len(given))) as threads:
        return list(threads.map(ask, given))
