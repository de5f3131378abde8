"""Peak memory of training a population on slicing cells: ``python -m roamrl.platform.bench.memory P B``."""

from __future__ import annotations

import resource
import sys

from roamrl.cluster.session import ray_session
from roamrl.platform.bench.population import Population, learner
from roamrl.platform.bench.works import family_work


def main() -> None:
    """Train two iterations and print the peak in bytes."""
    members, envs = int(sys.argv[1]), int(sys.argv[2])
    with ray_session(num_cpus=1):
        population = Population("memory", learner(family_work("slicing-v1"), members, envs, 32))
        population.run()
        population.run()
        population.close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
