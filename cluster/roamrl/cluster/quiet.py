"""A session without Ray's chatter: levels and variables that hold while it lasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from roamrl.cluster.variables import default_variables

# What a person who only runs studies cannot act on. Warnings of Ray itself and of Tune stay.
_SILENT_LOGGERS = (
    "ray._private.authentication.authentication_token_setup",  # says at each start that the token is on
    "ray._common.deprecation",  # RLlib's notes to its own examples
    "ray.tune.callback",  # each trial's start and end
)

# Read by Ray when it is imported and by the processes it starts; a value that a person has set stays.
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come, without its announcement
    "RAY_LOG_TO_DRIVER_EVENT_LEVEL": "ERROR",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new printer shows tables even at verbose=0, its old one is silent
    "PYTHONWARNINGS": "ignore::DeprecationWarning",
}


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence what Ray says without being asked; errors and Ray's own warnings are still printed.

    Tune's tables are not logging: whoever makes a ``Tuner`` gives it ``RunConfig(verbose=0)``.
    """
    levels = {name: logging.getLogger(name).level for name in _SILENT_LOGGERS}
    for name in _SILENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with default_variables(_VARIABLES):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
