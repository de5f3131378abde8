"""``nearest``: the source whose context is nearest to the target's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def closeness(sources: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return minus the Euclidean distance of each source's features [K, D] to the target's [D], [K]."""
    gaps = np.asarray(sources, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    return -np.linalg.norm(gaps, axis=-1)
