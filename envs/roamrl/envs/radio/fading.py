"""What moves an SNR: shadowing over distance and fading over time, both first-order autoregressive in dB."""

from __future__ import annotations

import math

SHADOWING_DB = 4.0
"""Standard deviation of shadowing (TR 38.901 table 7.4.1-1, UMa line of sight)."""

SHADOWING_DISTANCE_M = 13.0
"""Distance over which shadowing decorrelates (TR 38.901 table 7.5-6, UMi non line of sight)."""

FADING_DB = 3.0
"""Standard deviation of what frequency-selective scheduling leaves of fast fading."""

FADING_SLOTS = 10
"""Slots between updates of the fading (5 ms): once a window it would be white noise above walking speed."""

FADING_CORRELATION = 0.9
FADING_SPEED_MPS = 2.6
"""The fading's correlation over one update at that speed, carrier 3.5 GHz."""

ADMISSION_DB = -3.0
"""A user below this SNR (without fading) is not admitted; another is drawn in its place."""


def shadowing_correlation(speed_mps: float, step_s: float) -> float:
    """Return the correlation of shadowing over a step: exp(-distance / 13 m) (Gudmundson, 1991)."""
    return math.exp(-speed_mps * step_s / SHADOWING_DISTANCE_M)


def fading_correlation(speed_mps: float) -> float:
    """Return the correlation of fading over one update: .9 at 2.6 m/s, falling exponentially with speed.

    Clarke's J0(2 pi f_D tau) is no choice for an AR(1) in dB: it turns negative from about 4 m/s on.
    """
    return float(FADING_CORRELATION ** (speed_mps / FADING_SPEED_MPS))
