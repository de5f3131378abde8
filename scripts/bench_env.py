"""Time the slicing environment: windows a second on one core, at the default context and random actions.

Usage: python scripts/bench_env.py [cells] [steps]
"""

import sys
import time

import numpy as np

from roamrl.envs.slicing import SLICING

STEPS_A_RUN = 20


def main() -> None:
    """Print the rate over all steps, and over the fastest 20 (that with the quietest neighbours on the machine)."""
    given = [int(text) for text in sys.argv[1:]]
    cells, steps = given + [256, 1000][len(given) :]
    env = SLICING.make_vec([SLICING.task()], cells, seed=1)
    env.reset()
    actions = np.random.default_rng(0).integers(0, 36, (STEPS_A_RUN, cells))
    seconds = []
    for _ in range(max(steps // STEPS_A_RUN, 1)):
        begun = time.process_time()
        for step in actions:
            env.step(step)
        seconds.append(time.process_time() - begun)
    run = cells * STEPS_A_RUN
    print(f"{cells} cells: {run / np.mean(seconds):,.0f} windows/s/core, {run / min(seconds):,.0f} in the fastest run")


if __name__ == "__main__":
    main()
