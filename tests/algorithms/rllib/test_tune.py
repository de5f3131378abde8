import os
import signal

import numpy as np
import pytest
from ray import tune

from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import read_curve, read_done

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


class KillOnce(tune.Callback):
    """Kills the process of a trial when it reports iteration ``at``, the first time."""

    def __init__(self, at):
        self.at, self.killed = at, 0

    def on_trial_result(self, iteration, trials, trial, result, **info):
        if result["training_iteration"] == self.at and not self.killed:
            self.killed = result["pid"]
            os.kill(result["pid"], signal.SIGKILL)


def test_trials_run_reuse_their_process_and_survive_its_death(local_ray, tmp_path, cartpole_learner):
    folders = []
    for name, seeds in (("a", (1, 2)), ("b", (3,)), ("c", (4, 5))):
        write_learner(tmp_path / name, cartpole_learner(seeds=seeds, iterations=6, envs=4, length=32, snapshots=(6,)))
        folders.append(str(tmp_path / name))
    killer = KillOnce(at=4)
    results = tune.Tuner(
        PopulationAlgorithm,
        param_space={"folder": tune.grid_search(folders), "env": "CartPole-v1"},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "tune"),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2, checkpoint_at_end=False, num_to_keep=1),
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[killer],
            verbose=0,
        ),
    ).fit()
    assert killer.killed and not results.errors
    pids = [result.metrics["pid"] for result in results]
    assert killer.killed not in pids, "the killed trial went on in another process"
    assert len(set(pids)) < len(pids), "a trial took over the process of the one before"
    for name, folder in zip("abc", folders, strict=True):
        own = tmp_path / f"local-{name}"
        own.mkdir()
        for file in ("learner.json", "policies.safetensors"):
            (own / file).write_bytes((tmp_path / name / file).read_bytes())
        algorithm = PopulationAlgorithm({"folder": str(own), "env": "CartPole-v1"})
        while not algorithm.train()["done"]:
            pass
        algorithm.stop()
        np.testing.assert_array_equal(read_curve(own).return_mean, read_curve(tmp_path / name).return_mean)
        snapshot = "snapshot-0000006.safetensors"
        assert (own / snapshot).read_bytes() == (tmp_path / name / snapshot).read_bytes(), folder
        assert read_done(tmp_path / name).iterations == 6
