"""Gittins indices of Bernoulli arms with Beta posteriors, by calibration against an arm that is known."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import compiled
from roamrl.envs.errors import InputError

_KNOWN_ARMS = 501
"""Probabilities of the known arm that are tried, evenly over [0, 1]; between two of them the index is interpolated."""

_TIMES = 4.0
"""Pulls looked ahead, in units of 1 / (1 - discount), before an arm counts as known."""


@cache
def gittins_indices(discount: float, pulls: int) -> NDArray[np.float64]:
    """Return the index of an arm after w pulls that paid and l that did not, [pulls, pulls] at [w, l]; NaN beyond.

    The prior is uniform, Beta(1, 1). With V(a, b) the value of an arm with posterior Beta(a, b) beside one that is
    known to pay with probability lam, and p = a / (a + b),

        V(a, b) = max(lam / (1 - discount), p (1 + discount V(a + 1, b)) + (1 - p) discount V(a, b + 1)),

    the index is the lam at which both are equal (Gittins, "Bandit processes and dynamic allocation indices", J. R.
    Statist. Soc. B 41(2), 1979; Gittins, Glazebrook and Weber, 2011, sec. 8.4 for the calculation). To about 1e-4.

    Args:
        discount: Worth of a reward one pull later, above 0 and below 1.
        pulls: Posteriors after fewer pulls than this are covered.

    Raises:
        InputError: If the discount is outside (0, 1).
    """
    if not 0.0 < discount < 1.0:
        raise InputError(f"a Gittins index needs a discount above 0 and below 1, got {discount}")
    depth = pulls + math.ceil(_TIMES / (1.0 - discount))
    known = np.linspace(0.0, 1.0, _KNOWN_ARMS)
    values = np.empty((depth + 1, _KNOWN_ARMS))
    indices = np.full((pulls, pulls), np.nan)
    _calibrate(discount, pulls, depth, known, values, indices)
    indices.setflags(write=False)
    return indices


@compiled
def _calibrate(discount, pulls, depth, known, values, indices):  # type: ignore[no-untyped-def]
    """Fill the indices, from posteriors of ``depth`` pulls back to none; ``values`` [depth + 1, L] is working space."""
    for won in range(depth + 1):
        mean = (won + 1.0) / (depth + 2.0)
        for arm in range(len(known)):
            values[won, arm] = max(known[arm], mean) / (1.0 - discount)
    for made in range(depth - 1, -1, -1):
        for won in range(made + 1):
            p = (won + 1.0) / (made + 2.0)
            before = 0.0
            found = made >= pulls
            for arm in range(len(known)):
                safe = known[arm] / (1.0 - discount)
                go_on = p * (1.0 + discount * values[won + 1, arm]) + (1.0 - p) * discount * values[won, arm]
                gain = go_on - safe
                if not found and gain <= 0.0:
                    share = before / (before - gain) if arm else 0.0
                    indices[won, made - won] = known[arm] - (1.0 - share) * (known[1] - known[0])
                    found = True
                before = gain
                values[won, arm] = max(safe, go_on)
