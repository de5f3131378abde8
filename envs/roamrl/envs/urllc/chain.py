"""One user as an exact Markov decision process: state (backlog q, channel state c), action r packets.

A slot: r <= q packets go at power P[c, r]; q - r are left; a violation if they are more than the limit; A packets
arrive, and what passes the buffer is lost. Channel states and arrivals are independent from slot to slot, so the
backlog at a slot's beginning alone is a Markov chain under any stationary policy, with Q + 1 states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.relative_value_iteration import AverageReward, relative_value_iteration
from roamrl.envs.stationary_distribution import stationary_distribution
from roamrl.envs.task import Task
from roamrl.envs.urllc.arrival_law import probabilities
from roamrl.envs.urllc.channel import channel_states, power_table
from roamrl.envs.urllc.config import UrllcConfig

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """What one user's optimum and rates depend on.

    Attributes:
        gains: Largest gain of a user's blocks over their mean fading in each channel state, [C].
        channel: Probability of each channel state, [C].
        power: Least power of each channel state and number of packets, [C, R + 1].
        arrivals: Probability of 0, .., K arrivals, [K + 1].
        buffer: Most packets that wait, Q.
        limit: Most packets that may be left without a violation.
        penalty: What a violated slot costs, lambda.
        loss_penalty: What a lost packet costs.
    """

    gains: F64
    channel: F64
    power: F64
    arrivals: F64
    buffer: int
    limit: int
    penalty: float
    loss_penalty: float

    @property
    def max_rate(self) -> int:
        """Most packets that can be sent in a slot, R."""
        return int(self.power.shape[1]) - 1

    @cached_property
    def after(self) -> F64:
        """Probabilities of the next backlog by packets left, [Q + 1, Q + 1]."""
        states = np.arange(self.buffer + 1)
        after = np.zeros((len(states), len(states)))
        for count, probability in enumerate(self.arrivals):
            np.add.at(after, (states, np.minimum(states + count, self.buffer)), probability)
        return after

    @cached_property
    def lost(self) -> F64:
        """Mean packets lost by packets left, [Q + 1]."""
        waiting = np.arange(self.buffer + 1)[:, None] + np.arange(len(self.arrivals))
        return np.asarray(np.maximum(waiting - self.buffer, 0) @ self.arrivals)

    @cached_property
    def cost(self) -> F64:
        """Mean cost of violation and loss by packets left, [Q + 1]."""
        violated = np.arange(self.buffer + 1) > self.limit
        return np.asarray(self.penalty * violated + self.loss_penalty * self.lost)


@dataclass(frozen=True)
class LongRun:
    """Means a slot: reward and power of all users together, the rest a user.

    Attributes:
        reward: Mean reward.
        power: Mean power.
        violation_rate: Share of slots in which more than the limit is left.
        loss_rate: Packets lost a slot.
        backlog: Packets left after sending.
    """

    reward: float
    power: float
    violation_rate: float
    loss_rate: float
    backlog: float


def level_noise(context: Any, config: UrllcConfig) -> F64:
    """Return power over SNR at each gain level, [L]."""
    gains = np.asarray(config.gains) * 10.0 ** (context["fading_mean_db"] / 10.0)
    return np.asarray(1.0 / (config.snr_per_power * gains))


def user_chain(task: Task, config: UrllcConfig) -> Chain:
    """Return the chain of one user of a task who has all blocks to itself."""
    context: Any = task.context
    noise = level_noise(context, config)
    counts, channel = channel_states(len(config.gains), config.resource_blocks)
    best = counts.shape[1] - 1 - (counts[:, ::-1] > 0).argmax(axis=1)
    return Chain(
        np.asarray(config.gains)[best],
        channel,
        power_table(counts, noise, config.max_rate),
        probabilities(context["arrivals"], config.max_arrivals),
        config.buffer_packets,
        config.backlog_limit,
        context["violation_cost"],
        config.loss_weight * context["violation_cost"],
    )


def optimum(chain: Chain) -> tuple[I64, AverageReward]:
    """Return the rates of an optimal policy, [Q + 1, C] (the least of equals), and its mean reward.

    The optimality equation on the backlog, after the mean over channel states:
    g + W(q) = sum_c pi_c max_(r <= q) { -P[c, r] - lambda [q - r > limit] + sum_A p_A (W(min(q - r + A, Q)) - lost) }.
    """

    def choices(values: F64) -> F64:
        worth = chain.after @ values - chain.cost
        table = np.full((chain.max_rate + 1, chain.buffer + 1, len(chain.channel)), -np.inf)
        for rate in range(min(chain.max_rate, chain.buffer) + 1):
            table[rate, rate:] = worth[: chain.buffer + 1 - rate, None] - chain.power[:, rate]
        return table

    def bellman(values: F64) -> F64:
        return np.asarray(choices(values).max(axis=0) @ chain.channel)

    solved = relative_value_iteration(bellman, chain.buffer + 1)
    return choices(solved.values).argmax(axis=0), solved


def long_run(chain: Chain, rates: I64) -> LongRun:
    """Return what a stationary policy gives in the long run, starting with an empty buffer.

    Args:
        chain: The chain.
        rates: Packets sent by backlog and channel state, [Q + 1, C]; more than there are is as many as there are.
    """
    sending, power = _send(chain, rates)
    return _means(chain, stationary_distribution(sending @ chain.after), sending, power)


def episode_mean(chain: Chain, rates: I64, slots: int) -> LongRun:
    """Return the expected means over an episode of so many slots that starts with an empty buffer."""
    sending, power = _send(chain, rates)
    step = sending @ chain.after
    now = np.eye(1, chain.buffer + 1)[0]
    total = np.zeros(chain.buffer + 1)
    for _ in range(slots):
        total += now
        now = now @ step
    return _means(chain, total / slots, sending, power)


def best_episode(chain: Chain, slots: int) -> float:
    """Return the largest expected mean reward over an episode that starts empty, by any policy that counts slots."""
    values = np.zeros(chain.buffer + 1)
    for _ in range(slots):
        worth = chain.after @ values - chain.cost
        best = np.full((chain.buffer + 1, len(chain.channel)), -np.inf)
        for rate in range(min(chain.max_rate, chain.buffer) + 1):
            sent = worth[: chain.buffer + 1 - rate, None] - chain.power[:, rate]
            best[rate:] = np.maximum(best[rate:], sent)
        values = best @ chain.channel
    return float(values[0] / slots)


def _send(chain: Chain, rates: I64) -> tuple[F64, F64]:
    """Return probabilities of packets left by backlog, [Q + 1, Q + 1], and mean power by backlog, [Q + 1]."""
    states = np.arange(chain.buffer + 1)
    sent = np.minimum(rates, states[:, None])
    sending = np.zeros((len(states), len(states)))
    np.add.at(sending, (states[:, None], states[:, None] - sent), chain.channel)
    power = np.take_along_axis(chain.power.T, sent, axis=0)
    return sending, np.asarray(power @ chain.channel)


def _means(chain: Chain, share: F64, sending: F64, power: F64) -> LongRun:
    left = share @ sending
    states = np.arange(chain.buffer + 1)
    used = float(share @ power)
    violated = float(left[chain.limit + 1 :].sum())
    lost = float(left @ chain.lost)
    reward = -used - chain.penalty * violated - chain.loss_penalty * lost
    return LongRun(reward, used, violated, lost, float(left @ states))
