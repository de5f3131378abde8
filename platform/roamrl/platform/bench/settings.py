"""The settings that all contenders share, so that speed is compared at equal work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Settings:
    """How everybody learns.

    Attributes:
        gamma: Discount.
        gae_lambda: Decay of the generalised advantage estimate.
        clip: PPO's bound on the probability ratio.
        entropy: Weight of the entropy in the loss.
        value: Weight of the value loss.
        epochs: Passes over an iteration's rows.
        minibatches: Minibatches a pass.
        hidden: Widths of the hidden layers, actor and critic apart.
        learning_rate: Adam's step size.
        max_norm: Bound on the gradient's norm.
    """

    gamma: float = 0.95
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    epochs: int = 4
    minibatches: int = 4
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    max_norm: float = 0.5


SHARED: Final = Settings()
