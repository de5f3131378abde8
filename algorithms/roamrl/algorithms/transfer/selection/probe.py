"""``probe``: the source with the highest mean return over a few episodes on the target itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mean_return(returns: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the mean of each source's returns [K, E] over its own E episodes of the target, [K].

    With returns of standard deviation sigma the better of two sources that differ by d is found with probability
    Phi(d sqrt(E / 2) / sigma): a few episodes tell apart what differs by more than noise, and no more.
    """
    return np.asarray(np.asarray(returns, dtype=np.float64).mean(axis=1))
