"""Policies nobody trained: equal, fixed and demand-proportional shares, backlog, max-weight, clairvoyant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.reference import ActingReference, Reference
from roamrl.envs.slicing.allocation import LEAST, logits_of
from roamrl.envs.slicing.config import read_config
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.envs.slicing.oracle import Clairvoyant

Shares = NDArray[np.float64]

BEAM_WIDTH: Final = 16
_TINY: Final = 1e-9


class SharesReference(ActingReference):
    """A reference that wants shares; the environment's own actions come nearest to them."""

    @abstractmethod
    def shares(self, env: SlicingEnv) -> Shares:
        """Return wanted shares [N, K] that sum to one in each row."""

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return actions [N] (discrete) or [N, K] (continuous)."""
        cell = cast(SlicingEnv, env)
        return to_actions(cell, self.shares(cell))


def to_actions(env: SlicingEnv, shares: Shares) -> NDArray[Any]:
    """Return the actions whose shares come nearest (Euclidean) to those wanted, [N, K]; of several the grid's first."""
    if env.config.action == "continuous":
        return logits_of(shares).astype(np.float32)
    distance = ((shares[:, None, :] - env.allocations[None]) ** 2).sum(axis=2)
    return np.asarray(distance.round(9).argmin(axis=1))


class EqualSplit(SharesReference):
    """The same share for every slice; on the 10 % grid three slices get .3, .3 and .4."""

    name = "equal-split"
    role = "trivial"
    about = "every slice gets the same share"

    def shares(self, env: SlicingEnv) -> Shares:
        """Return equal shares."""
        return np.full(env.offered_bits.shape, 1.0 / env.offered_bits.shape[1])


@dataclass(frozen=True)
class DemandGains:
    """What is tuned in :class:`Demand`.

    Attributes:
        scale: Multiplier m of each slice, K of them; only their ratios matter.
        floor: Part b that every slice gets beside its demand.
    """

    scale: tuple[float, ...]
    floor: float


class Demand(SharesReference):
    """Shares in proportion to what a slice needs and how much it counts.

    share_k ~ m_k * 3 w_k * (2 offered_k + backlog_k) / efficiency_k, normalised; + b, normalised; nearest allocation.
    """

    name = "demand"
    role = "classical"
    about = "shares follow offered and waiting bits over efficiency, times the SLA weights; tuned on val"

    def __init__(self, gains: DemandGains) -> None:
        self.gains = gains

    def shares(self, env: SlicingEnv) -> Shares:
        """Return the wanted shares."""
        need = (2.0 * env.offered_bits + env.backlog_bits) / _efficiency(env)
        need = need * (3.0 * env.weights * np.asarray(self.gains.scale))
        total = need.sum(axis=1, keepdims=True)
        slices = need.shape[1]
        shares = np.where(total > 0.0, need / np.maximum(total, _TINY), 1.0 / slices) + self.gains.floor
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


class Backlog(SharesReference):
    """Shares in proportion to the resource blocks that the backlog needs; equal where nothing waits."""

    name = "backlog"
    role = "classical"
    about = "shares follow waiting bits over efficiency"

    def shares(self, env: SlicingEnv) -> Shares:
        """Return the wanted shares."""
        need = env.backlog_bits / _efficiency(env)
        total = need.sum(axis=1, keepdims=True)
        return np.asarray(np.where(total > 0.0, need / np.maximum(total, _TINY), 1.0 / need.shape[1]))


class MaxWeight(SharesReference):
    """The slice with the largest backlog times rate gets all it can (Tassiulas and Ephremides, 1992)."""

    name = "max-weight"
    role = "classical"
    about = "all that can be given goes to the slice with the largest backlog times efficiency"

    def shares(self, env: SlicingEnv) -> Shares:
        """Return the wanted shares."""
        pressure = env.backlog_bits * env.efficiency
        slices = pressure.shape[1]
        first = np.eye(slices)[pressure.argmax(axis=1)]
        shares = LEAST + (1.0 - LEAST * slices) * first
        return np.asarray(np.where(pressure.max(axis=1, keepdims=True) > 0.0, shares, 1.0 / slices))


class Static(SharesReference):
    """The same shares in every window of every task: what can be had without looking."""

    name = "static"
    role = "other"
    about = "the same shares in every window; of all allocations the best on val"

    def __init__(self, fixed: Sequence[float]) -> None:
        self.fixed = np.asarray(fixed, np.float64)

    def shares(self, env: SlicingEnv) -> Shares:
        """Return the fixed shares."""
        return np.broadcast_to(self.fixed, env.offered_bits.shape).copy()


def _efficiency(env: SlicingEnv) -> NDArray[np.float64]:
    """Return spectral efficiencies [N, K]; a slice without users counts as the mean of the others."""
    efficiency = env.efficiency
    known = efficiency > 0.0
    mean = efficiency.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where(known, efficiency, np.where(mean > 0.0, mean, 1.0)))


TUNED_SCALE: Final[Mapping[str, Mapping[str, float]]] = {
    "default": {"control": 1.14, "video": 0.76, "xr": 1.10, "voice": 1.14},
    "hidden-sla": {"control": 1.45, "video": 0.48, "xr": 1.07, "voice": 1.45},
}
TUNED_FLOOR: Final[Mapping[str, float]] = {"default": 0.175, "hidden-sla": 0.095}
"""Gains of :class:`Demand` in each variant, tuned on its ``val`` with
:func:`~roamrl.envs.slicing.tuning.tune_demand` (64 episodes a task, 5 rounds of 12 candidates, seed 7, tasks weighted
by the inverse of their gap). ``voice`` has no tuning of its own and takes what ``control`` has."""


TUNED_SHARES: Final[Mapping[str, Mapping[str, float]]] = {
    "default": {"control": 0.3, "video": 0.3, "xr": 0.4},
    "hidden-sla": {"control": 0.4, "video": 0.5, "xr": 0.1},
}
"""Shares of :class:`Static` in each variant, the best of the grid on its ``val``, from
``python -m roamrl.envs.slicing.tuning`` (64 episodes a task, seed 7, tasks weighted by the inverse of their gap)."""


def references(config: Mapping[str, JSON]) -> dict[str, Reference]:
    """Return the references under a full config by name; the first of each role stands for it in scores.

    ``static`` is among them where the cell has the slices that its shares were chosen for.
    """
    full = read_config(config)
    scale = tuple(TUNED_SCALE[full.variant][name] for name in full.slices)
    shares = TUNED_SHARES[full.variant]
    offered: list[Reference] = [
        EqualSplit(),
        Demand(DemandGains(scale, TUNED_FLOOR[full.variant])),
        Backlog(),
        MaxWeight(),
        Clairvoyant("oracle", BEAM_WIDTH),
        Clairvoyant("oracle-window", 1),
    ]
    if sorted(full.slices) == sorted(shares):
        offered.insert(1, Static([shares[name] for name in full.slices]))
    return {reference.name: reference for reference in offered}
