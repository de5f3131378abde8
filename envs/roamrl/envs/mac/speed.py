"""How fast one core plays: ``python -m roamrl.envs.mac.speed``.

Saturated cells of 8 and of 40 stations (``n_max`` alike) at the best p for their number: the batched environment's step
with its copies, the kernel alone with observations, and whole episodes of a rule that needs none.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.mac import kernel
from roamrl.envs.mac.cells import MEASURES, MOST_SLOTS
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.mac.family import MAC
from roamrl.envs.mac.persistence import best_persistence

CELLS = 256
STEPS = 64
SECONDS = 2.0


def measure(stations: int, seconds: float = SECONDS) -> dict[str, tuple[float, float]]:
    """Return epochs and slots a CPU second of each way of playing (of the rule's episodes slots alone, else NaN).

    Args:
        stations: N, and ``n_max``.
        seconds: CPU time of each measurement.
    """
    context = {"stations": stations, "arrival": "saturated"}
    env = MAC.make_vec([MAC.task(context, {"n_max": stations, "episode_slots": MOST_SLOTS})], CELLS)
    assert isinstance(env, MACEnv)
    env.reset()
    rng = np.random.default_rng(0)
    actions = (rng.random((STEPS, CELLS, stations)) < best_persistence(stations, 10)).astype(np.int8)
    rows, entries = np.arange(CELLS), env.task_rows
    so_far, measured = np.zeros((CELLS, MEASURES)), np.zeros((CELLS, MEASURES))
    obs = np.zeros((CELLS, *(env.single_observation_space.shape or ())), np.float32)
    rewards, durations, ended = np.zeros(CELLS), np.zeros(CELLS), np.zeros(CELLS, np.bool_)

    def step() -> None:
        for action in actions:
            env.step(action)

    def advance() -> None:
        for action in actions:
            kernel.step_cells(
                rows, action, entries, env.table, env.state, so_far, obs, rewards, durations, ended, measured
            )

    task = MAC.task(context, {"n_max": stations})
    rule = MAC.references(dict(task.config))["persistent-n"]
    played = 0

    def play() -> None:
        nonlocal played
        rule.play(MAC, [task], episodes=8, seed=0)
        played += 8 * task.config["episode_slots"]

    def progress() -> NDArray[np.float64]:
        cells = env.state.cells
        return np.array([cells["epochs"].sum(), cells["time"].sum()], np.float64)

    return {
        "environment": _rates(step, progress, seconds),
        "kernel": _rates(advance, progress, seconds),
        "rule": _rates(play, lambda: np.array([np.nan, played]), seconds),
    }


def _rates(
    work: Callable[[], None], progress: Callable[[], NDArray[np.float64]], seconds: float
) -> tuple[float, float]:
    work()
    before, begun = progress(), time.process_time()
    while time.process_time() - begun < seconds:
        work()
    epochs, slots = (progress() - before) / (time.process_time() - begun)
    return float(epochs), float(slots)


def main() -> None:
    """Print a table."""
    print(f"{'N':>3}  {'way':12} {'epochs/s/core':>14} {'slots/s/core':>14}")
    for stations in (8, 40):
        for way, (epochs, slots) in measure(stations).items():
            print(f"{stations:>3}  {way:12} {'-' if np.isnan(epochs) else f'{epochs:,.0f}':>14} {slots:>14,.0f}")


if __name__ == "__main__":
    main()
