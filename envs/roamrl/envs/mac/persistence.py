"""p-persistent access in closed form: what it carries when saturated, and the best p for a known number of stations.

With N stations that always have a packet and transmit with probability p in every epoch, q = 1 - p, an epoch is idle
(1 slot) with probability q^N, and carries a packet (L of its L + 1 slots) with probability N p q^(N-1)::

    S(p) = N p q^(N-1) L / (q^N + (1 - q^N) (L + 1))

(Bianchi, IEEE JSAC 18(3), 2000, eq. 13, with sensing in place of DIFS; Cali, Conti and Gregori, IEEE/ACM Trans.
Networking 8(6), 2000). dS/dp = 0 gives (1 - N p) (L + 1) = L q^N, which has one root in (0, 1/N).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from roamrl.envs.errors import InputError


def saturated_throughput(chance: float | NDArray[np.float64], stations: int, packet_slots: int) -> NDArray[np.float64]:
    """Return the payload slots a slot of saturated stations that transmit with probability p, shape of ``chance``.

    Args:
        chance: Probability of transmitting in an epoch, p.
        stations: N.
        packet_slots: L.
    """
    p = np.asarray(chance, np.float64)
    idle = (1.0 - p) ** stations
    success = stations * p * (1.0 - p) ** (stations - 1)
    return np.asarray(success * packet_slots / (idle + (1.0 - idle) * (packet_slots + 1)))


@cache
def best_persistence(stations: int, packet_slots: int) -> float:
    """Return the p with the largest saturated throughput: the root of (1 - N p) (L + 1) = L (1 - p)^N.

    Args:
        stations: N.
        packet_slots: L.

    Raises:
        InputError: If either is below one.
    """
    if stations < 1 or packet_slots < 1:
        raise InputError(f"at least one station and one slot are needed, got {stations} and {packet_slots}")
    if stations == 1:
        return 1.0

    def slope(p: float) -> float:
        return (1.0 - stations * p) * (packet_slots + 1) - packet_slots * (1.0 - p) ** stations

    return float(brentq(slope, 0.0, 1.0 / stations, xtol=1e-14))
