"""``best-on-val``: the source with the highest mean gain on the validation tasks, whatever the target."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from roamrl.envs.errors import InputError


def mean_gain(gains: npt.ArrayLike, left_out: int | None = None) -> npt.NDArray[np.float64]:
    """Return the mean over tasks of each source's gains [K, V], [K].

    Args:
        gains: Zero-shot gain of source k on validation task v.
        left_out: Task whose gains must not be looked at, because the choice is for that very task.

    Raises:
        InputError: If no task is left.
    """
    known = np.asarray(gains, dtype=np.float64)
    if left_out is not None:
        known = np.delete(known, left_out, axis=1)
    if known.shape[1] == 0:
        raise InputError("best-on-val has no task to judge sources by; give the validation split at least two tasks")
    return np.asarray(known.mean(axis=1))
