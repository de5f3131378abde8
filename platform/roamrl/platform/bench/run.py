"""Runs benchmarks by name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from roamrl.cluster.session import ray_session
from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.result import Benchmark
from roamrl.platform.bench.suites import Effort, Suite
from roamrl.platform.bench.suites.env import env_suite
from roamrl.platform.bench.suites.profile import profile_suite
from roamrl.platform.bench.suites.rollout import rollout_suite
from roamrl.platform.bench.suites.scale import scale_suite
from roamrl.platform.bench.suites.serving import serving_suite
from roamrl.platform.bench.suites.store import store_suite
from roamrl.platform.bench.suites.train import train_suite

SUITES: Mapping[str, Suite] = {
    "env": env_suite,
    "rollout": rollout_suite,
    "train": train_suite,
    "scale": scale_suite,
    "serving": serving_suite,
    "store": store_suite,
    "profile": profile_suite,
}
"""Suites by name."""

ALL = ("env", "rollout", "train", "scale")
"""What ``all`` runs, in this order: what is compared with others and has targets."""


def run_benchmark(
    names: Sequence[str], effort: Effort, keep: Callable[[Benchmark], None] = lambda _: None
) -> Benchmark:
    """Run suites one after the other, with torch on one thread.

    Args:
        names: Keys of :data:`SUITES`.
        effort: How long to measure.
        keep: Given all that is known after each suite, so that a later one's failure loses nothing.
    """
    begun = time.perf_counter()
    threads = torch.get_num_threads()
    rows: list[Row] = []
    with ray_session(num_cpus=2):
        logging.getLogger("ray").setLevel(logging.ERROR)
        torch.set_num_threads(1)
        try:
            for name in names:
                rows += SUITES[name](effort)
                keep(Benchmark.of(rows, time.perf_counter() - begun))
        finally:
            torch.set_num_threads(threads)
    return Benchmark.of(rows, time.perf_counter() - begun)
