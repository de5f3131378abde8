"""A driver on a cluster of three nodes on this machine that kills the node of its trial: node_loss.py LEARNER TUNE OUT.

It writes to OUT, as JSON, the trial's results by iteration, the node of each, and the seconds from kill to next result.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.cluster_utils import Cluster

from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.cluster.processes import find_process


class KillNode(tune.Callback):
    """Kills the raylet of the node on which the trial reports its fourth result."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = {node.all_processes["raylet"][0].process.pid: node for node in cluster.list_all_nodes()}
        self.seen: list[int] = []
        self.raylets: list[int] = []
        self.killed_at: float | None = None
        self.recovery_s: float | None = None

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        process = find_process(result["pid"])
        raylets = [process.parent] if process is not None and process.parent in self._nodes else []
        self.seen.append(result["training_iteration"])
        self.raylets += raylets
        if self.killed_at is not None and self.recovery_s is None:
            self.recovery_s = time.monotonic() - self.killed_at
        if self.seen == [1, 2, 3, 4]:
            self.killed_at = time.monotonic()
            self._cluster.remove_node(self._nodes[raylets[0]], allow_graceful=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (tune.Callback, ())


def main(learner: str, storage: str, out: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    killer = KillNode(cluster)
    try:
        results = tune.Tuner(
            PopulationAlgorithm,
            param_space={"folder": learner, "env": "CartPole-v1"},
            run_config=tune.RunConfig(
                storage_path=storage,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2, checkpoint_at_end=False, num_to_keep=2),
                failure_config=tune.FailureConfig(max_failures=1),
                callbacks=[killer],
                verbose=0,
            ),
        ).fit()
        told = {"errors": len(results.errors), "seen": killer.seen, "raylets": killer.raylets}
        Path(out).write_text(json.dumps({**told, "recovery_s": killer.recovery_s}), encoding="utf-8")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
