"""The context table of ``urllc-v1``: what tells one downlink from another, its unit, ranges and visibility."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from roamrl.envs.canonical import JSON
from roamrl.envs.checked_values import number
from roamrl.envs.context import Choice, ContextSpace, Variable, Visibility
from roamrl.envs.errors import InputError
from roamrl.envs.urllc.arrival_law import EitherOf, Means, batches, check_law, poisson, probabilities
from roamrl.envs.urllc.config import UrllcConfig

NOMINAL_LOAD: Final = 0.8
"""Packets a slot of nominal traffic."""

HIGH_LOAD: Final = 2.0
"""Packets a slot at 2.5 times the nominal load."""

TRAIN_LOADS: Final = Means(poisson, "Poisson", 0.5, 1.0)
HIGH_LOADS: Final = Means(poisson, "Poisson", 1.75, 2.25)
BURSTS: Final = Means(batches, "batches", 0.5, 1.0)


def context_space(config: UrllcConfig) -> ContextSpace:
    """Return the context table under a config."""

    def seen(name: str, otherwise: Visibility) -> Visibility:
        return "observed" if name in config.observed else otherwise

    return ContextSpace(
        (
            Variable(
                "arrivals", "1/slot", poisson(NOMINAL_LOAD), TRAIN_LOADS, EitherOf((HIGH_LOADS, BURSTS)),
                seen("arrivals", "hidden"), ("dynamics",), _arrivals(config), "law of a user's arrivals in a slot",
            ),
            Variable(
                "fading_mean_db", "dB", 0.0, None, Choice((-5.0,)),
                seen("fading_mean_db", "inferable"), ("dynamics", "reward"), _number("fading mean", -40.0, 40.0),
                "shift of all channel gains",
            ),
            Variable(
                "violation_cost", "power", 50.0, None, None,
                seen("violation_cost", "hidden"), ("reward",), _number("violation cost", 0.0, 1e6),
                "lambda: what a violated slot costs",
            ),
        )
    )  # fmt: skip


def _number(key: str, low: float, high: float) -> Callable[[JSON], JSON]:
    return lambda value: number(key, value, low, high)


def _arrivals(config: UrllcConfig) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        law = check_law(value, config.max_arrivals)
        fewer = probabilities(law, config.max_arrivals)[: config.max_rate].sum()
        if fewer == 0.0:
            raise InputError(
                f"in every slot at least {config.max_rate} packets arrive, as many as can be sent, so that a backlog "
                "never shrinks; give fewer arrivals some probability, or raise max_rate in the config"
            )
        return law

    return check
