"""What the best policy there is earns over the prior, where there are so few pulls that it can be calculated."""

from __future__ import annotations

from functools import cache
from typing import Final

from roamrl.envs.errors import InputError

MOST_PULLS: Final = 20
"""Pulls up to which the optimum is calculated: its time and memory grow about as the tenth power of them."""

Counts = tuple[tuple[int, int], ...]
"""How often each arm paid and did not, sorted, since arms are alike under the prior."""


def bayes_optimum(arms: int, pulls: int) -> float:
    """Return the greatest total reward of an episode to be expected when arms are uniform on [0, 1], without discount.

    By dynamic programming over the Beta posteriors of all arms: with p_i the posterior mean of arm i,

        V(counts, n) = max_i p_i (1 + V(counts with arm i paid, n - 1)) + (1 - p_i) V(counts with it not paid, n - 1)

    (Bellman, "A problem in the sequential design of experiments", Sankhya 16, 1956).

    Args:
        arms: Arms, at least 1.
        pulls: Pulls of an episode, 0 to 20.

    Raises:
        InputError: If there is no arm, or more pulls than can be calculated.
    """
    if arms < 1 or not 0 <= pulls <= MOST_PULLS:
        raise InputError(
            f"the optimum is calculated for at least one arm and 0..{MOST_PULLS} pulls, got {arms} arms and {pulls} "
            "pulls; for more pulls the reference 'gittins' is nearly optimal"
        )

    @cache
    def value(counts: Counts, left: int) -> float:
        if left == 0:
            return 0.0
        best = 0.0
        for number, (paid, lost) in enumerate(counts):
            if number and counts[number] == counts[number - 1]:
                continue
            chance = (paid + 1.0) / (paid + lost + 2.0)
            others = counts[:number] + counts[number + 1 :]
            if_paid = value(tuple(sorted((*others, (paid + 1, lost)))), left - 1)
            if_lost = value(tuple(sorted((*others, (paid, lost + 1)))), left - 1)
            best = max(best, chance * (1.0 + if_paid) + (1.0 - chance) * if_lost)
        return best

    return value(((0, 0),) * arms, pulls)
