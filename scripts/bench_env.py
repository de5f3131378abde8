"""Time the slicing environment: windows a second on one core, at the default context and random actions.

Usage: python scripts/bench_env.py [cells] [steps]
"""

import sys
import time

import numpy as np

from roamrl.envs.slicing import SLICING


def main() -> None:
    """Print the fastest of five runs (CPU time, so that neighbours on the machine count little) and their median."""
    cells, steps = (int(text) for text in (sys.argv[1:] + ["256", "200"][len(sys.argv) - 1 :])[:2])
    env = SLICING.make_vec([SLICING.task()], cells, seed=1)
    env.reset()
    actions = np.random.default_rng(0).integers(0, 36, (steps, cells))
    rates = []
    for _ in range(5):
        begun = time.process_time()
        for step in range(steps):
            env.step(actions[step])
        rates.append(cells * steps / (time.process_time() - begun))
    print(f"{cells} cells: {max(rates):,.0f} windows/s/core at best, {np.median(rates):,.0f} in the median of 5")


if __name__ == "__main__":
    main()
