"""Ray sessions: what is started stops, what was there stays, nothing is said without being asked.

Every session here lives in a process and a home folder of its own, apart from the one that other tests share.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.session import ray_session

SESSION = """
import json, logging, os
from roamrl.cluster.session import ClusterError, ray_session

before = dict(os.environ)
with ray_session(num_cpus=1) as session:
    import ray
    from ray import tune

    class Speaker(tune.Trainable):
        def step(self):
            print("a trial speaks")
            return {"done": True, "score": 1.0}

        def save_checkpoint(self, folder):
            return {}

    config = tune.RunConfig(name="speaker", storage_path=os.environ["HOME"] + "/tune", verbose=0)
    score = tune.Tuner(Speaker, run_config=config).fit()[0].metrics["score"]
    with ray_session() as inner:
        pass
    kept = ray.is_initialized()
    try:
        with ray_session("10.255.255.1:6379"):
            other = "joined"
    except ClusterError as error:
        other = str(error)
    token = os.environ["HOME"] + "/.ray/auth_token"
    mode = os.stat(token).st_mode
changed = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
print(json.dumps({
    "address": session.address, "started": session.started, "cpus": session.cpus, "inner_started": inner.started,
    "inner_address": inner.address, "kept": kept, "ended": not ray.is_initialized(), "score": score,
    "mode": mode, "other": other, "changed": sorted(changed),
}))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    home = tmp_path_factory.mktemp("home")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", SESSION], cwd=home, env=env, capture_output=True, text=True, timeout=150
    )


@pytest.fixture(scope="module")
def facts(finished: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, object] = json.loads(finished.stdout.splitlines()[-1])
    return answer


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_local_session_starts_works_and_ends(facts: dict[str, object]) -> None:
    assert facts["started"] is True
    assert facts["cpus"] == 1.0
    assert facts["score"] == 1.0
    assert facts["ended"] is True


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_an_inner_session_is_the_outer_one_and_does_not_end_it(facts: dict[str, object]) -> None:
    assert facts["inner_started"] is False
    assert facts["inner_address"] == facts["address"]
    assert facts["kept"] is True


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_another_cluster_is_not_passed_off_for_the_present_one(facts: dict[str, object]) -> None:
    assert "10.255.255.1:6379" in str(facts["other"])
    assert str(facts["address"]) in str(facts["other"])


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_the_token_file_is_for_its_owner_alone(facts: dict[str, object]) -> None:
    assert stat.S_IMODE(int(str(facts["mode"]))) == 0o600


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_session_and_its_trials_say_nothing(finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.stderr == ""
    assert len(finished.stdout.splitlines()) == 1


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_no_variable_of_ours_remains_afterwards(facts: dict[str, object]) -> None:
    changed = facts["changed"]
    assert isinstance(changed, list)
    assert not [name for name in changed if name.startswith("TUNE_")]
    assert not {"PYTHONWARNINGS", "RAY_AIR_NEW_OUTPUT", "RAY_USAGE_STATS_ENABLED"} & set(changed)


JOINING = """
import json, sys
from roamrl.cluster.session import ray_session

with ray_session(sys.argv[1]) as session:
    print(json.dumps({"address": session.address, "started": session.started}))
"""

HOST = """
import json, os, subprocess, sys
from roamrl.cluster.session import ray_session

with ray_session(num_cpus=1) as session:
    import ray
    env = dict(os.environ)
    done = subprocess.run([sys.executable, "-c", sys.argv[1], session.address], env=env, capture_output=True, text=True)
    alive = ray.get(ray.put(41)) + 1
    print(json.dumps({"address": session.address, "rc": done.returncode, "out": done.stdout, "err": done.stderr,
                      "alive": alive}))
"""


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_joined_cluster_goes_on_when_its_guest_leaves(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", HOST, JOINING], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["rc"] == 0, facts["err"]
    guest = json.loads(facts["out"].splitlines()[-1])
    assert guest == {"address": facts["address"], "started": False}
    assert facts["alive"] == 42


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("nowhere", "host:port"),
        ("ray://127.0.0.1:10001", "host:port"),
    ],
)
def test_an_address_without_a_cluster_is_an_error_at_once(address: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said), ray_session(address):
        pass
