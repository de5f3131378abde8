import os

import pytest


@pytest.fixture(scope="session")
def local_ray():
    """One quiet Ray session of two processors for all tests that need one."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "120000")  # as ray_session does
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()
