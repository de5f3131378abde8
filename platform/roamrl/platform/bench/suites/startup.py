"""What is paid before the first step: imports, memory, trials."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.population import learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.trials import run_population_trials
from roamrl.platform.bench.works import family_work

IMPORTS = (
    ("import roamrl.envs", ["-c", "import roamrl.envs"], 1.0),
    ("roamrl --help", ["-m", "roamrl.platform", "--help"], 0.5),
    ("python -c pass", ["-c", "pass"], None),
)
MEMORY_MEMBERS, MEMORY_ENVS, MEMORY_GIB = 64, 32, 2.0
FEW, MANY, OVERHEAD_S = 2, 6, 2.0


def startup_rows(effort: Effort) -> Sequence[Row]:
    """Measure imports, peak memory and the overhead of a trial."""
    effort.say("start-up: imports, memory, trials")
    rows = _imports(max(effort.rounds, 3))
    return rows if effort.quick else [*rows, _memory(), _overhead()]


def _imports(rounds: int) -> list[Row]:
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in IMPORTS}
    for number in range(rounds + 1):
        for name, arguments, _ in IMPORTS:
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return [
        Row(
            work="start-up",
            metric="wall s, warm",
            variant=name,
            value=float(np.median(seconds[name])),
            rounds=rounds,
            target=target,
            at_most=True,
            notes={"least": min(seconds[name]), "most": max(seconds[name])},
        )
        for name, _, target in IMPORTS
    ]


def _memory() -> Row:
    done = subprocess.run(
        [sys.executable, "-m", "roamrl.platform.bench.memory", str(MEMORY_MEMBERS), str(MEMORY_ENVS)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Row(
        work="slicing",
        metric="peak memory, GiB",
        variant=f"members-{MEMORY_MEMBERS}, {MEMORY_ENVS} environments each",
        value=int(done.stdout.split()[-1]) / 2**30,
        target=MEMORY_GIB,
        at_most=True,
    )


def _overhead() -> Row:
    """Measure what a trial costs beyond its training when it takes over another's process."""
    work = family_work("slicing-v1")
    wall: dict[int, float] = {}
    trained: list[float] = []
    for count in (FEW, MANY):
        specs = [learner(work, 1, 16, 64, steps=20 * 1024, first_seed=seed) for seed in range(count)]
        wall[count], trained = run_population_trials(specs, at_once=1)
    each = (wall[MANY] - wall[FEW]) / (MANY - FEW)
    training = float(np.median(trained[1:]))  # the first one's process was new
    return Row(
        work="slicing",
        metric="trial overhead, wall s",
        variant="actors reused",
        value=each - training,
        target=OVERHEAD_S,
        at_most=True,
        notes={"trials": MANY, "training_s": training, "first_trials_s": wall[FEW]},
    )
