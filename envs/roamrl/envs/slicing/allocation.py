"""From an action to the share of the cell's resource blocks each slice gets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

GRID = 10
"""Parts a cell is cut into by a discrete action."""

LEAST = 1.0 / GRID
"""Least share of a slice."""

LOGIT = 5.0
"""Bound of a continuous action's logits: the largest share is then within 1 % of the largest there is."""


def allocation_grid(slices: int) -> NDArray[np.float64]:
    """Return all ways to give K slices shares of 10 % each at least in steps of 10 %, [A, K]; 36 for three."""
    cuts = np.array(list(combinations(range(1, GRID), slices - 1)), np.int64).reshape(-1, slices - 1)
    edges = np.concatenate([np.zeros((len(cuts), 1), np.int64), cuts, np.full((len(cuts), 1), GRID)], axis=1)
    return np.diff(edges, axis=1) / GRID


def softmax_shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return .1 + (1 - .1 K) softmax of logits [..., K]: a point of the simplex that leaves every slice its least."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softmax = exponent / exponent.sum(axis=-1, keepdims=True)
    return np.asarray(LEAST + (1.0 - LEAST * logits.shape[-1]) * softmax)


def logits_of(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits in [-5, 5] whose shares are nearest to the given ones, [..., K]."""
    free = np.maximum(shares - LEAST, 1e-9)
    logits = np.log(free)
    return np.asarray(np.clip(logits - logits.max(axis=-1, keepdims=True) + LOGIT, -LOGIT, LOGIT))
