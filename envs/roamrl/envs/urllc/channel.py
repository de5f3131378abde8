"""A user's channel: the gain of each block, the least power that carries some packets, and its distinct states.

A block of gain h carries log2(1 + s h p) packets at power p. The least power that carries r packets on several blocks
fills them up to a common level of water over their noise 1 / (s h) (Cover and Thomas, Elements of Information Theory,
2nd ed., 2006, sec. 9.4). On one block it is (2^r - 1) / (s h).

Blocks of equal gain are interchangeable: a state of a user's channel is a multiset of B levels, numbered by the
combinatorial number system.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import compiled
from roamrl.envs.elementary import exp2

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@compiled
def least_power(counts, noise, log2_noise, packets):  # type: ignore[no-untyped-def]
    """Return the least power that carries some packets on a user's blocks.

    Args:
        counts: Blocks of each gain level, [L].
        noise: Power over SNR at each level, 1 / (s h), falling, [L].
        log2_noise: Its logarithm, [L].
        packets: Packets, at least 0.

    Returns:
        The power; infinite if there are packets but no block.
    """
    if packets == 0:
        return 0.0
    blocks, logs, floor = 0, 0.0, 0.0
    best = -1
    for level in range(len(counts) - 1, -1, -1):
        count = counts[level]
        if count == 0:
            continue
        if blocks > 0 and packets + logs <= blocks * log2_noise[level]:
            break  # the water stands below this noise
        if blocks == 0:
            best = level
        blocks += count
        logs += count * log2_noise[level]
        floor += count * noise[level]
    if blocks == 0:
        return math.inf
    if blocks == 1:
        return noise[best] * float((1 << packets) - 1)
    return blocks * exp2((packets + logs) / blocks) - floor


@compiled
def _fill(counts, noise, log2_noise, power):  # type: ignore[no-untyped-def]
    for state in range(len(counts)):
        for packets in range(power.shape[1]):
            power[state, packets] = least_power(counts[state], noise, log2_noise, packets)


def power_table(counts: I64, noise: F64, max_rate: int) -> F64:
    """Return the least power of each channel state and number of packets, [C, R + 1].

    Args:
        counts: Blocks of each level in each state, [C, L].
        noise: Power over SNR at each level, [L].
        max_rate: Most packets, R.
    """
    power = np.zeros((len(counts), max_rate + 1))
    _fill(counts, noise, np.log2(noise), power)
    return power


def channel_states(levels: int, blocks: int) -> tuple[I64, F64]:
    """Return the distinct states of B blocks with L equally probable levels.

    Returns:
        Blocks of each level in each state, [C, L], and the states' probabilities, [C].
    """
    found = np.array(list(combinations_with_replacement(range(levels), blocks)), np.int64)
    counts = np.stack([np.bincount(state, minlength=levels) for state in found])
    ways = [math.factorial(blocks) / math.prod(math.factorial(count) for count in state) for state in counts.tolist()]
    order = np.argsort(channel_state(found, levels))
    return counts[order], np.array(ways, np.float64)[order] / float(levels) ** blocks


def channel_state(blocks: I64, levels: int) -> I64:
    """Return the number of the channel state of some blocks: the rank of their sorted levels, [..] of [.., B].

    Args:
        blocks: Level of each block, [.., B].
        levels: Number of levels, L.
    """
    count = blocks.shape[-1]
    rising = np.sort(blocks, axis=-1) + np.arange(count)
    ways = np.array([[math.comb(top, chosen + 1) for top in range(levels + count)] for chosen in range(count)])
    return np.asarray(ways[np.arange(count), rising].sum(axis=-1), np.int64)
