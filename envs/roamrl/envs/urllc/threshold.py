"""The classical policy: so many packets a slot, and more where the channel is good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.urllc.config import UrllcConfig


@dataclass(frozen=True)
class Threshold:
    """The policy r = min(q, base + extra [h >= gain]).

    h is the largest gain of the user's blocks over their mean fading, which a base station knows by averaging.

    Attributes:
        base: Packets on every channel, a.
        extra: Packets more on a good one, b.
        gain: Power gain over the mean fading from which on a channel is good, h0.
    """

    base: int
    extra: int
    gain: float

    def rates(self, gains: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return packets wanted at some gains over the mean fading, of their shape."""
        return np.asarray(self.base + self.extra * (gains >= self.gain), np.int64)


def thresholds(config: UrllcConfig) -> list[Threshold]:
    """Return every policy of the class that acts differently from the others; with ``extra`` 0 a gain has no effect."""
    flat = [Threshold(base, 0, 0.0) for base in range(config.max_rate + 1)]
    return flat + [
        Threshold(base, extra, float(gain))
        for base in range(config.max_rate)
        for extra in range(1, config.max_rate + 1 - base)
        for gain in _between(config)
    ]


def neighbours(threshold: Threshold, config: UrllcConfig) -> list[Threshold]:
    """Return the policies of the class one packet, or one step between gain levels, away."""
    between = _between(config)
    place = int(np.abs(np.log(between / max(threshold.gain, between[0]))).argmin()) if len(between) else 0
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1), (1, -1, 0), (-1, 1, 0)]
    found = []
    for more, extra, shift in steps:
        base, top = threshold.base + more, threshold.extra + extra
        inside = base >= 0 and top >= 0 and base + top <= config.max_rate and 0 <= place + shift < len(between)
        if inside and (shift == 0 or top > 0):
            found.append(Threshold(base, top, float(between[place + shift]) if top else 0.0))
    return found


def _between(config: UrllcConfig) -> NDArray[np.float64]:
    """Return the gains half-way (geometrically) between two levels."""
    levels = np.asarray(config.gains)
    return np.asarray(np.sqrt(levels[1:] * levels[:-1]))
