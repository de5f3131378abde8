"""How fast: slots a second on one core, and what an optimum costs.

``python -m roamrl.envs.urllc.speed`` prints both for one user and for several.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.family import get_family
from roamrl.envs.urllc.chain import optimum, user_chain
from roamrl.envs.urllc.config import read_config

CONFIGS: Final[Mapping[str, Mapping[str, JSON]]] = {
    "one user": {},
    "two users, two blocks": {"users": 2},
    "three users, six blocks": {"users": 3, "resource_blocks": 6},
}
ROWS: Final = 1024
STEPS: Final = 200
REPEATS: Final = 5


def slots_per_s(config: Mapping[str, JSON]) -> float:
    """Return slots (times downlinks) a second of processor time, 1024 in a batch, random actions; best of five."""
    family = get_family("urllc-v1")
    env = family.make_vec([family.task({}, config)], ROWS, seed=1)
    full = read_config(config)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, full.actions, (STEPS, ROWS))
    env.reset()
    env.step(actions[0])
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for action in actions:
            env.step(action)
        seconds.append(time.process_time() - begun)
    return ROWS * STEPS / min(seconds)


def optimum_ms(config: Mapping[str, JSON]) -> float:
    """Return the processor time of building and solving one user's chain, ms; best of five."""
    family = get_family("urllc-v1")
    task, full = family.task({}, config), read_config(config)
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        optimum(user_chain(task, full))
        seconds.append(time.process_time() - begun)
    return 1e3 * min(seconds)


def main() -> None:
    """Print the figures."""
    for name, config in CONFIGS.items():
        print(f"{name:<24}{slots_per_s(config) / 1e6:6.2f} M slots/s/core {optimum_ms(config):8.1f} ms an optimum")


if __name__ == "__main__":
    main()
