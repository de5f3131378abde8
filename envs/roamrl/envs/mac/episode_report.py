"""What whole episodes of a policy came to, exactly: throughput, fairness, delays, and how fast it gets over jumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.episodes import Act, place_episodes
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.mac.references import Rule
from roamrl.envs.task import Task

WINDOW_SLOTS: Final = 1000
TOLERANCE: Final = 0.1


@dataclass(frozen=True)
class EpisodeReport:
    """E episodes of each of T tasks, arrays [T, E].

    Attributes:
        utilisation: Payload slots delivered a slot.
        collision_rate: Share of busy epochs that were collisions.
        jain: Jain's index of the stations' throughputs, each over the slots in which the station was there.
        delay_mean: Mean delay of delivered packets, slots; NaN where none was.
        delay_p99: Their 99 % quantile (nearest rank), slots.
        loss_rate: Share of the packets offered that found a full queue.
        recovery_slots: Mean over the episode's jumps of :func:`recovery_slots`; NaN without jumps that can be judged.
    """

    utilisation: NDArray[np.float64]
    collision_rate: NDArray[np.float64]
    jain: NDArray[np.float64]
    delay_mean: NDArray[np.float64]
    delay_p99: NDArray[np.float64]
    loss_rate: NDArray[np.float64]
    recovery_slots: NDArray[np.float64]


@dataclass
class _Log:
    """What happened in R episodes: a row of (episode, slot at which the packet ended, delay) a delivery; jumps."""

    deliveries: list[NDArray[np.float64]]
    jumps: list[NDArray[np.int64]]


def episode_report(
    family: Family,
    tasks: Sequence[Task],
    policy: Act | Rule,
    *,
    episodes: int,
    seed: int,
    window_slots: int = WINDOW_SLOTS,
    tolerance: float = TOLERANCE,
) -> EpisodeReport:
    """Play E episodes of every task, on the streams of :func:`roamrl.envs.episodes.play`, and look at them closely.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config.
        policy: Observations [T, E, S, O] and the environment to actions [T, E, S]; or a rule.
        episodes: E.
        seed: Seed of the streams.
        window_slots: See :func:`recovery_slots`.
        tolerance: See :func:`recovery_slots`.
    """
    env = place_episodes(family, tasks, range(episodes), seed)
    if not isinstance(env, MACEnv):
        raise InputError(f"this report is of episodes of mac-v1, not of {family.id}")
    shape = (len(tasks), episodes)
    log = _play(env, shape, policy.acting(env) if isinstance(policy, Rule) else policy)
    deliveries = np.concatenate([np.zeros((0, 3)), *log.deliveries])
    jumps = np.concatenate([np.zeros((0, 2), np.int64), *log.jumps])
    lengths = [task.context["packet_slots"] for task in tasks for _ in range(episodes)]
    rows = []
    for row, length in enumerate(lengths):
        own = deliveries[deliveries[:, 0] == row]
        slots = env.config.episode_slots
        edges = [*jumps[jumps[:, 0] == row, 1], slots]
        payload = [
            recovery_slots(own[:, 1], start, stop, window_slots=window_slots, tolerance=tolerance)
            for start, stop in pairwise(edges)
        ]
        judged = [found for found in payload if not np.isnan(found)]
        delays = own[:, 2]
        rows.append(
            (
                length * len(own) / slots,
                _jain(env, row),
                delays.mean() if len(own) else np.nan,
                np.quantile(delays, 0.99, method="inverted_cdf") if len(own) else np.nan,
                np.mean(judged) if judged else np.nan,
            )
        )
    utilisation, jain, delay_mean, delay_p99, recovery = np.array(rows).T.reshape(5, *shape)
    so_far = env.so_far
    return EpisodeReport(
        utilisation,
        so_far["collision_rate"].reshape(shape),
        jain,
        delay_mean,
        delay_p99,
        so_far["loss_rate"].reshape(shape),
        recovery,
    )


def _play(env: MACEnv, shape: tuple[int, int], act: Act) -> _Log:
    log = _Log([], [])
    obs, _ = env.reset()
    cells = env.state.cells
    running = np.ones(env.num_envs, np.bool_)
    before = cells["jumps"].copy()
    while running.any():
        actions = act(obs.reshape(*shape, *obs.shape[1:]), env)
        obs, _, terminated, truncated, _ = env.step(actions.reshape(env.num_envs, -1))
        won = np.flatnonzero(running & (cells["winner"] >= 0))
        log.deliveries.append(np.stack([won, cells["latest_at"][won], cells["delay"][won]], axis=1))
        jumped = np.flatnonzero(running & (cells["jumps"] > before))
        log.jumps.append(np.stack([jumped, cells["time"][jumped]], axis=1))
        before[:] = cells["jumps"]
        running &= ~(terminated | truncated)
    return log


def _jain(env: MACEnv, row: int) -> float:
    cell, stations = env.state.cells[row], env.state.stations[row]
    here = np.arange(len(stations)) < cell["stations"]
    slots = stations["present_slots"] + np.where(here, cell["time"] - stations["joined"], 0)
    rates = stations["delivered"][slots > 0] / slots[slots > 0]
    return float(rates.sum() ** 2 / (len(rates) * (rates**2).sum())) if rates.any() else 1.0


def recovery_slots(
    delivered_at: NDArray[np.float64],
    start: int,
    stop: int,
    *,
    window_slots: int = WINDOW_SLOTS,
    tolerance: float = TOLERANCE,
) -> float:
    """Return the slots after a jump until throughput is what it then stays at, but for a tolerance.

    That is the least s for which the payload of the window (start + s, start + s + window] is at least 1 - tolerance of
    the mean over the second half of [start, stop). What does not recover counts with stop - start; a stretch shorter
    than two windows cannot be judged and gives NaN.

    Args:
        delivered_at: Slots at which packets ended, ascending, [K].
        start: Slot of the jump.
        stop: Slot of the next one, or of the episode's end.
        window_slots: Slots of the window.
        tolerance: Share of the level that may be missing.
    """
    if stop - start < 2 * window_slots:
        return float("nan")
    middle = (start + stop) / 2.0
    settled = np.count_nonzero((delivered_at > middle) & (delivered_at <= stop)) / (stop - middle)
    wanted = int(np.ceil((1.0 - tolerance) * settled * window_slots - 1e-9))
    if wanted <= 0:
        return 0.0
    inside = delivered_at[(delivered_at > start) & (delivered_at <= stop)]
    ends = np.concatenate([[start + window_slots], inside[inside > start + window_slots]])
    counts = np.searchsorted(inside, ends, "right") - np.searchsorted(inside, ends - window_slots, "right")
    reached = np.flatnonzero(counts >= wanted)
    return float(ends[reached[0]] - window_slots - start) if len(reached) else float(stop - start)
