"""What Ray Tune is told by environment variables, and its own voice, while it runs trials."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

SNAPSHOT_PERIOD_S = 10
"""Seconds between snapshots of Tune's experiment state, from which a killed run goes on."""


@contextmanager
def tune_environment() -> Iterator[None]:
    """Snapshot the experiment often, and keep Tune's advice to its developers out of the terminal."""
    wanted = {"TUNE_GLOBAL_CHECKPOINT_S": str(SNAPSHOT_PERIOD_S), "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
