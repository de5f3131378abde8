"""A cluster's head that no longer answers, told in time: Ray ends a driver that has lost it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from roamrl.cluster.addresses import check_listening
from roamrl.cluster.errors import ClusterError

_log = logging.getLogger(__name__)

PERIOD_S = 5.0
SILENCE_S = 20.0


@contextmanager
def watched_head(address: str, period_s: float = PERIOD_S, silence_s: float = SILENCE_S) -> Iterator[None]:
    """Warn, once for each silence, when nobody has listened at the head's address for a while.

    Args:
        address: ``host:port`` of the cluster's head.
        period_s: Seconds between two looks.
        silence_s: Seconds of silence before the warning. Ray's own patience is 60.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(address, over, period_s, silence_s), name="head watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, over: threading.Event, period_s: float, silence_s: float) -> None:
    heard, told = time.monotonic(), False
    while not over.wait(period_s):
        try:
            check_listening(address)
        except ClusterError:
            silent = time.monotonic() - heard
            if silent >= silence_s and not told and not over.is_set():
                told = True
                _log.warning(
                    "the head of the cluster at %s has not answered for %.0f s. If it stays away, Ray ends this "
                    "process a minute after it went; what was finished is kept, and the same command goes on with "
                    "it, on this cluster once it is back or on another (--address)",
                    address,
                    silent,
                )
        else:
            heard, told = time.monotonic(), False
