"""Average-reward dynamic programming by relative value iteration, for any Bellman operator on a vector of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.errors import InputError

F64 = NDArray[np.float64]

STEP: Final = 0.9
"""Share of the way to its image that the values go each time: below 1, periodic chains converge as well (Schweitzer,
Journal of Mathematical Analysis and Applications 34, 1971)."""


@dataclass(frozen=True)
class AverageReward:
    """The solution of the average-reward optimality equation g + W = T W.

    Attributes:
        gain: Largest mean reward a step, g.
        error: Half the distance of the bounds that enclose it.
        values: Relative values W, [S]; W[0] is 0.
        iterations: How often the operator was applied.
    """

    gain: float
    error: float
    values: F64
    iterations: int


def relative_value_iteration(
    bellman: Callable[[F64], F64], states: int, *, tolerance: float = 1e-10, most_iterations: int = 100_000
) -> AverageReward:
    """Solve g + W = T W, where the largest mean reward does not depend on the state one starts in.

    For every W the optimal gain lies between the least and the largest entry of T W - W (Odoni, Operations Research
    17(5), 1969); iteration ends when they agree.

    Args:
        bellman: The operator T: values [S] to values [S], the largest reward of a step plus what follows.
        states: S.
        tolerance: Largest half distance of the bounds, for gains of about one; in proportion for larger ones.
        most_iterations: Where to give up.

    Raises:
        InputError: If it does not converge.
    """
    values = np.zeros(states)
    for iteration in range(1, most_iterations + 1):
        change = bellman(values) - values
        low, high = float(change.min()), float(change.max())
        gain, error = 0.5 * (high + low), 0.5 * (high - low)
        if error <= tolerance * max(1.0, abs(gain)):
            return AverageReward(gain, error, values, iteration)
        values = values + STEP * change
        values -= values[0]
    raise InputError(
        f"value iteration has not converged after {most_iterations} iterations (mean reward within {low:g} and "
        f"{high:g}): what can be had seems to depend on the state one starts in"
    )
