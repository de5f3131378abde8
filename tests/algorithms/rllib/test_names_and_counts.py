"""What RLlib's results and Ray's dashboard say of a population: members that are not finite, names of processes."""

from __future__ import annotations

import pytest
from ray.train._internal.storage import StorageContext

from roamrl.algorithms.rllib.algorithm import NUM_MEMBERS_NONFINITE
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.runner import BatchEnvRunner

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


def test_a_member_that_leaves_out_updates_is_counted_once_and_for_good(local_ray, toy_learner):
    algorithm = PopulationConfig().population(learner=toy_learner(seeds=(1, 2, 3), iterations=3)).build_algo()
    assert algorithm.train()[NUM_MEMBERS_NONFINITE] == 0
    algorithm._ask_learner(lambda learner: learner.stacked.weights.data[1].fill_(float("nan")))
    algorithm._send_weights()
    assert [algorithm.train()[NUM_MEMBERS_NONFINITE] for _ in range(2)] == [1, 1]
    algorithm.stop()


def test_a_trial_s_process_is_named_after_its_experiment(local_ray, toy_learner, tmp_path):
    algorithm = PopulationConfig().population(learner=toy_learner()).build_algo()
    assert "env-runners=0" in repr(algorithm), "without a trial it is RLlib's own"
    algorithm._storage = StorageContext(str(tmp_path), "pretrain-0123")
    assert repr(algorithm) == "PopulationAlgorithm(pretrain-0123)"
    algorithm.stop()


def test_a_runner_s_process_is_named_after_its_members(toy_learner):
    config = PopulationConfig().population(learner=toy_learner(seeds=(1, 2, 3, 4, 5))).env_runners(num_env_runners=2)
    names = [repr(BatchEnvRunner(config=config, worker_index=worker, num_workers=2)) for worker in (1, 2)]
    assert names == ["BatchEnvRunner(members 0 to 1)", "BatchEnvRunner(members 2 to 4)"]
