"""``random``: a source drawn evenly, the least that any selector has to beat."""

from __future__ import annotations

import numpy as np


def draw(sources: int, seed: int) -> int:
    """Return one of K sources, each with probability 1 / K, the same for the same seed."""
    return int(np.random.default_rng(seed).integers(sources))
