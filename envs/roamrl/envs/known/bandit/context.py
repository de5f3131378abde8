"""The context table of ``bandit-v1``: the arms' probabilities, and the laws they are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.checked_values import number
from roamrl.envs.context import ContextSpace, Variable
from roamrl.envs.errors import InputError
from roamrl.envs.known.bandit.config import BanditConfig

SCARCE: Final = 0.3
"""Highest probability of an arm in the split ``ood-probabilities``."""


@dataclass(frozen=True)
class Arms:
    """A probability for each of some arms, each uniform on [0, high]."""

    count: int
    high: float = 1.0

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw the probabilities."""
        return [float(value) for value in rng.uniform(0.0, self.high, self.count)]

    def describe(self) -> str:
        """Say the law in a few characters."""
        return f"U(0, {self.high:g})^{self.count}"


def context_space(config: BanditConfig) -> ContextSpace:
    """Return the context table under a config; the default has one good arm in the middle, the others are alike."""
    even = [0.5] * config.arms
    even[config.arms // 2] = 0.9
    probabilities = Variable(
        "probabilities", "1", even, Arms(config.arms), Arms(config.arms, SCARCE),
        "hidden", ("reward",), _probabilities(config), "probability that a pull of each arm pays 1",
    )  # fmt: skip
    return ContextSpace((probabilities,))


def _probabilities(config: BanditConfig) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        if not isinstance(value, list | tuple) or len(value) != config.arms:
            raise InputError(f"{config.arms} probabilities are needed, got {value!r}")
        return [number("probability", entry, 0.0, 1.0) for entry in value]

    return check
