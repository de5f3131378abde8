"""Counter-based random streams: a draw is a function of its key and its counter, never of what ran before.

Generator: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), used as a hash of key + counter * golden gamma.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_ROOT = np.uint64(0x6A09E667F3BCC909)
_INV53 = 1.0 / 9007199254740992.0


@njit(uint64(uint64), cache=True, inline="always")
def mix(z):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the splitmix64 finaliser)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@njit(uint64(uint64, uint64), cache=True, inline="always")
def fold(key, part):  # type: ignore[no-untyped-def]
    """Derive a key from a key and one more part (an episode, a slice, a user, a purpose)."""
    return mix(key ^ mix(part + GAMMA))


@njit(cache=True)
def episode_key(seed, episode, index):  # type: ignore[no-untyped-def]
    """Key of one episode of one sub-environment."""
    key = fold(_ROOT, np.uint64(seed))
    key = fold(key, np.uint64(episode))
    return fold(key, np.uint64(index))


@njit(cache=True, inline="always")
def uniform(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, uniform on [0, 1)."""
    bits = mix(key + np.uint64(counter) * GAMMA)
    return float(bits >> np.uint64(11)) * _INV53


@njit(cache=True, inline="always")
def exponential(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, exponential with mean 1."""
    return -math.log(1.0 - uniform(key, counter))


@njit(cache=True, inline="always")
def normal(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, standard normal (Box-Muller on draws 2c and 2c + 1)."""
    base = np.uint64(2) * np.uint64(counter)
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, base)))
    return radius * math.cos(2.0 * math.pi * uniform(key, base + np.uint64(1)))
