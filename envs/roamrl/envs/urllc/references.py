"""Policies nobody trained: so many a slot, a channel threshold, and optima by dynamic programming."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.episodes import Episodes
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family
from roamrl.envs.reference import ActingReference, Reference, Role
from roamrl.envs.task import Task
from roamrl.envs.urllc.arrival_law import BATCH_SIZE, batches, mixture, poisson
from roamrl.envs.urllc.chain import Chain, LongRun, long_run, optimum, user_chain
from roamrl.envs.urllc.channel import channel_state
from roamrl.envs.urllc.config import UrllcConfig, read_config
from roamrl.envs.urllc.context import HIGH_LOAD, NOMINAL_LOAD
from roamrl.envs.urllc.env import UrllcEnv, joint_actions
from roamrl.envs.urllc.threshold import Threshold

I64 = NDArray[np.int64]

CONSTANT: Final = 3
"""Packets a slot of the trivial policy."""

NOMINAL: Final = poisson(NOMINAL_LOAD)
MIXTURE: Final = mixture(poisson(NOMINAL_LOAD), poisson(HIGH_LOAD), batches(NOMINAL_LOAD), batches(HIGH_LOAD))
"""Poisson arrivals and batches, at the nominal load and at 2.5 times it, a quarter each."""

TUNED: Final = Threshold(0, 3, 0.33541019662496846)
"""The channel threshold with the largest mean score on ``val``, from ``python -m roamrl.envs.urllc.tuning``."""


class StationaryPolicy(ActingReference):
    """A reference in which every user's rate follows from its own backlog and channel."""

    def __init__(self) -> None:
        self._known: tuple[tuple[Task, ...], I64] | None = None

    @abstractmethod
    def rates(self, task: Task) -> I64:
        """Return packets wanted by backlog and channel state, [Q + 1, C] (or a shape that broadcasts to it)."""

    def long_run(self, task: Task) -> LongRun:
        """Return what the policy gives on a task in the long run, exactly.

        Raises:
            InputError: If users compete for blocks, so that there is no chain of one user.
        """
        config = known_config(task)
        if config.coupled:
            raise InputError("users who share blocks have no chain of their own; simulate, or take sharing: dedicated")
        one = long_run(known_chain(task), self.rates(task))
        return replace(one, reward=config.users * one.reward, power=config.users * one.power)

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return actions, [N]."""
        cells = cast(UrllcEnv, env)
        if self._known is None or self._known[0] is not cells.tasks:
            self._known = (cells.tasks, np.stack([self.rates(task) for task in cells.tasks]))
        states = channel_state(cells.levels, len(cells.config.gains))
        wanted = self._known[1][cells.task_rows[:, None], cells.backlog, states]
        return joint_actions(wanted, cells.config)


class Constant(StationaryPolicy):
    """The same number of packets in every slot, as far as there are any."""

    name = "constant"
    role = "trivial"

    def __init__(self, packets: int = CONSTANT) -> None:
        super().__init__()
        self.packets = packets
        self.about = f"{packets} packets in every slot"

    def rates(self, task: Task) -> I64:
        """Return the constant, [Q + 1, C]."""
        chain = known_chain(task)
        shape = (chain.buffer + 1, len(chain.channel))
        return np.full(shape, min(self.packets, chain.max_rate))


class ChannelThreshold(StationaryPolicy):
    """More packets where the channel is good; see :class:`~roamrl.envs.urllc.threshold.Threshold`."""

    name = "threshold"
    role = "classical"
    about = "so many packets a slot, and more on a good channel; tuned on val"

    def __init__(self, threshold: Threshold = TUNED) -> None:
        super().__init__()
        self.threshold = threshold

    def rates(self, task: Task) -> I64:
        """Return the rates, [Q + 1, C]."""
        chain = known_chain(task)
        wanted = np.minimum(self.threshold.rates(chain.gains), chain.max_rate)
        return np.broadcast_to(wanted, (chain.buffer + 1, len(wanted)))


class Optimal(StationaryPolicy):
    """The policy of largest mean reward, if users do not compete for blocks.

    Args:
        name: Name in tables.
        role: Role.
        about: One line for people.
        arrivals: Arrival law it believes in; None for the task's own. Fading and penalty it knows.
    """

    def __init__(self, name: str, role: Role, about: str, arrivals: Mapping[str, JSON] | None = None) -> None:
        super().__init__()
        self.name = name
        self.role = role
        self.about = about
        self.arrivals = arrivals

    def rates(self, task: Task) -> I64:
        """Return the rates, [Q + 1, C]."""
        return optimal_rates(task if self.arrivals is None else with_arrivals(task, self.arrivals))


class DedicatedOptimum(Reference):
    """A bound for users who share blocks: the optimum if each had all blocks to itself, on the same streams.

    Its mean return is at least that of any policy: every rate takes at least the power that it takes on all blocks, and
    without competition users are independent. No policy need reach it.
    """

    name = "oracle-bound"
    role = "oracle"
    about = "bound: each user's optimum, if it had all blocks to itself"

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task with dedicated blocks."""
        alone = [Task(task.family, {**task.config, "sharing": "dedicated"}, task.context) for task in tasks]
        return oracle().play(family, alone, episodes=episodes, seed=seed)


def oracle() -> Optimal:
    """Return the policy that knows the task's arrival law."""
    return Optimal("oracle", "oracle", "the optimum, by dynamic programming on the exact chain")


def references(config: Mapping[str, JSON]) -> dict[str, Reference]:
    """Return the references under a full config by name; the first of each role stands for it in scores."""
    full = read_config(config)
    best: list[Reference] = [oracle()]
    if full.coupled:
        alone = "each user by the optimum it would have alone"
        best = [DedicatedOptimum(), Optimal("each-alone", "other", alone)]
    offered: list[Reference] = [Constant(), ChannelThreshold(), *best]
    if full.max_arrivals >= BATCH_SIZE:
        offered.append(Optimal("nominal", "other", "the optimum for nominal traffic", NOMINAL))
        offered.append(Optimal("mixture", "other", "the optimum for a mixture of four kinds of traffic", MIXTURE))
    return {reference.name: reference for reference in offered}


def with_arrivals(task: Task, arrivals: Mapping[str, JSON]) -> Task:
    """Return the task with another arrival law."""
    return Task(task.family, task.config, {**task.context, "arrivals": arrivals})


@lru_cache(maxsize=1024)
def known_config(task: Task) -> UrllcConfig:
    """Return the config of a task; read once in a process."""
    return read_config(task.config)


@lru_cache(maxsize=1024)
def known_chain(task: Task) -> Chain:
    """Return the chain of one user of a task; built once in a process."""
    return user_chain(task, known_config(task))


@lru_cache(maxsize=1024)
def optimal_rates(task: Task) -> I64:
    """Return the optimal rates on a task, [Q + 1, C], read-only; solved once in a process."""
    rates = optimum(known_chain(task))[0]
    rates.setflags(write=False)
    return rates
