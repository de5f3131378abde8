"""Ray Tune trials, ours and RLlib's, timed from start to end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.config import quiet_ray
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.variables import default_variables

QUIET = {"RAY_AIR_NEW_OUTPUT": "0"}


def run_population_trials(specs: Sequence[LearnerSpec], at_once: int) -> tuple[float, list[float]]:
    """Train learners as trials, some at once, in processes that are used again.

    Returns:
        Wall seconds of all of it, and of each trial's own training.
    """
    from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
    from roamrl.algorithms.rllib.learner_folder import write_learner

    with tempfile.TemporaryDirectory(prefix="roamrl-bench-") as folder:
        places = []
        for number, spec in enumerate(specs):
            place = f"{folder}/learner-{number}"
            write_learner(_made(place), spec, None)
            places.append(place)
        space = {"folder": _grid(places), "iterations_per_report": 10}
        return _fit(PopulationAlgorithm, space, at_once, reuse=True)


def run_rllib_trials(config: Any, seeds: Sequence[int], steps: int, at_once: int) -> tuple[float, list[float]]:
    """Train RLlib's PPO with several seeds as trials, some at once, each for so many environment steps.

    Returns:
        Wall seconds of all of it, and of each trial's own training.
    """
    from ray.rllib.algorithms.ppo import PPO

    config.debugging(seed=_grid(list(seeds)))
    return _fit(PPO, config, at_once, reuse=False, stop={"num_env_steps_sampled_lifetime": steps})


def _made(place: str) -> Any:
    from pathlib import Path

    path = Path(place)
    path.mkdir(parents=True)
    return path


def _grid(values: Sequence[Any]) -> Any:
    from ray import tune

    return tune.grid_search(list(values))


def _fit(
    trainable: Any, space: Any, at_once: int, *, reuse: bool, stop: dict[str, Any] | None = None
) -> tuple[float, list[float]]:
    from ray import tune
    from ray.tune import RunConfig

    with tempfile.TemporaryDirectory(prefix="roamrl-bench-") as storage, default_variables(QUIET), quiet_ray():
        begun = time.perf_counter()
        results = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=reuse),
            run_config=RunConfig(storage_path=storage, verbose=0, stop=stop),
        ).fit()
        wall = time.perf_counter() - begun
    if results.errors:
        raise ClusterError(f"a benchmark's trial failed: {results.errors[0]}")
    trials = [results[number].metrics or {} for number in range(len(results))]
    return wall, [float(trial["time_total_s"]) for trial in trials]
