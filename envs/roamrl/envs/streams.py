"""Counter-based random streams: a draw is a function of its key and its counter, never of what ran before.

Generator: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), used as a hash of key + counter * golden gamma.
"""

from __future__ import annotations

import math

import numpy as np

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.elementary import log

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_ROOT = np.uint64(0x6A09E667F3BCC909)
_INV53 = 1.0 / 9007199254740992.0
_BYTES = np.uint64(0x00FF00FF00FF00FF)
_PAIRS = np.uint64(0x0001000100010001)
_NOISE_UNIT = 1.0 / math.sqrt(8.0 * (256.0**2 - 1.0) / 12.0)


@inlined
def mix(z):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the splitmix64 finaliser)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@inlined
def fold(key, part):  # type: ignore[no-untyped-def]
    """Derive a key from a key and one more part (an episode, a slice, a user, a purpose)."""
    return mix(key ^ mix(part + GAMMA))


@compiled
def episode_key(seed, episode, index):  # type: ignore[no-untyped-def]
    """Key of one episode of one sub-environment."""
    key = fold(_ROOT, np.uint64(seed))
    key = fold(key, np.uint64(episode))
    return fold(key, np.uint64(index))


@inlined
def uniform(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, uniform on [0, 1)."""
    bits = mix(key + np.uint64(counter) * GAMMA)
    return float(bits >> np.uint64(11)) * _INV53


@inlined
def exponential(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, exponential with mean 1."""
    return -log(1.0 - uniform(key, counter))


@compiled
def normal_quantile(p):  # type: ignore[no-untyped-def]
    """Return the standard normal quantile of p in (0, 1), to 1e-6 (Wichura, AS 241, Applied Statistics 37, 1988)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return q * above / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-log(max(min(p, 1.0 - p), 1e-300)))
    if r <= 5.0:
        r -= 1.6
        tail = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
        tail /= (0.12021132975 * r + 0.73700164250) * r + 1.0
    else:
        r -= 5.0
        tail = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150
        tail /= (0.012258202635 * r + 0.24197894225) * r + 1.0
    return -tail if q < 0.0 else tail


@compiled
def normal(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream, standard normal (one uniform through the quantile function)."""
    return normal_quantile(uniform(key, counter))


@inlined
def noise(key, counter):  # type: ignore[no-untyped-def]
    """Draw number ``counter`` of a stream: mean 0, variance 1, nearly normal, for innovations of autoregressions.

    It is the sum of a draw's eight bytes (excess kurtosis -0.15, at most 4.9): eight times cheaper than
    :func:`normal`, and an AR(1) of correlation .9 driven by it has an excess kurtosis of -0.016.
    """
    bits = mix(key + np.uint64(counter) * GAMMA)
    pairs = (bits & _BYTES) + ((bits >> np.uint64(8)) & _BYTES)
    return (float((pairs * _PAIRS) >> np.uint64(48)) - 1020.0) * _NOISE_UNIT
