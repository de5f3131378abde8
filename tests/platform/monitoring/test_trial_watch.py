"""Trials as metrics, and trackers: who is told what, and how a missing package is said."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

from roamrl.envs.errors import InputError
from roamrl.platform.monitoring import trackers, trial_watch
from roamrl.platform.monitoring.metrics import ENV_STEPS, NONFINITE_MEMBERS, TRIAL_RESTARTS, Metric
from roamrl.platform.monitoring.run_watch import watched_run
from roamrl.platform.monitoring.trackers import PROJECT, tracked
from roamrl.platform.monitoring.trial_watch import TrialLabels, TrialWatch, watched_trials

REUSE, JOINT = TrialLabels("s", "reuse", "adapt"), TrialLabels("s", "joint", "adapt")
TRIALS = {"a": REUSE, "b": REUSE, "c": JOINT}


def trial(name: str) -> Trial:
    made = Trial("PopulationAlgorithm", stub=True, config={"folder": f"/runs/{name}"})
    made.custom_dirname = name
    return made


def result(steps: int, nonfinite: int = 0) -> dict[str, Any]:
    return {
        "env_runners": {"num_env_steps_sampled": steps},
        "num_members_nonfinite": nonfinite,
        "training_iteration": 1,
    }


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    """Sums of counters and last values of gauges, by name, strategy."""
    found: dict[tuple[str, ...], float] = {}

    def key(metric: Metric, labels: dict[str, str]) -> tuple[str, ...]:
        assert set(labels) == set(metric.labels)
        return (metric.name, labels["strategy"])

    def count(metric: Metric, amount: float = 1, **labels: str) -> None:
        found[key(metric, labels)] = found.get(key(metric, labels), 0) + amount

    def level(metric: Metric, value: float, **labels: str) -> None:
        found[key(metric, labels)] = value

    monkeypatch.setattr(trial_watch, "count", count)
    monkeypatch.setattr(trial_watch, "level", level)
    return found


def test_steps_add_up_over_reports_and_trials_of_a_strategy(recorded: dict[tuple[str, ...], float]) -> None:
    watch = TrialWatch()
    with watched_trials(TRIALS):
        for name, steps in (("a", 100), ("a", 100), ("b", 50), ("c", 7)):
            watch.on_trial_result(1, [], trial(name), result(steps))
    assert recorded[ENV_STEPS.name, "reuse"] == 250
    assert recorded[ENV_STEPS.name, "joint"] == 7


def test_trials_without_names_of_their_own_are_counted_together(recorded: dict[tuple[str, ...], float]) -> None:
    watch = TrialWatch()
    with watched_trials(TrialLabels("s", "joint", "sweep")):
        assert recorded[TRIAL_RESTARTS.name, "joint"] == 0
        for name in "xy":
            watch.on_trial_result(1, [], trial(name), result(100, 2))
            watch.on_trial_recover(1, [], trial(name))
    assert recorded[ENV_STEPS.name, "joint"] == 200
    assert recorded[NONFINITE_MEMBERS.name, "joint"] == 4
    assert recorded[TRIAL_RESTARTS.name, "joint"] == 2


def test_members_that_are_not_finite_are_those_of_all_trials_now(recorded: dict[tuple[str, ...], float]) -> None:
    watch = TrialWatch()
    with watched_trials(TRIALS):
        assert recorded[NONFINITE_MEMBERS.name, "reuse"] == 0, "none is a number, too"
        for name, members in (("a", 1), ("b", 2), ("a", 3), ("c", 9)):
            watch.on_trial_result(1, [], trial(name), result(1, members))
    assert recorded[NONFINITE_MEMBERS.name, "reuse"] == 5
    assert recorded[NONFINITE_MEMBERS.name, "joint"] == 9


def test_restarts_are_counted_by_strategy(recorded: dict[tuple[str, ...], float]) -> None:
    watch = TrialWatch()
    with watched_trials(TRIALS):
        assert recorded[TRIAL_RESTARTS.name, "joint"] == 0
        for name in ("a", "b", "a"):
            watch.on_trial_recover(1, [], trial(name))
    assert recorded[TRIAL_RESTARTS.name, "reuse"] == 3
    assert recorded[TRIAL_RESTARTS.name, "joint"] == 0


def test_a_trial_nobody_watches_is_nobodys(recorded: dict[tuple[str, ...], float]) -> None:
    watch = TrialWatch()
    watch.on_trial_result(1, [], trial("a"), result(5))
    with watched_trials({}):
        watch.on_trial_result(1, [], trial("a"), result(5))
        watch.on_trial_recover(1, [], trial("a"))
    assert recorded == {}


class Notes(LoggerCallback):
    """A logger as trackers have them."""

    def __init__(self, study: str) -> None:
        self.told: list[Any] = [study]

    def setup(self, *arguments: Any, **info: Any) -> None:
        self.told.append("setup")

    def log_trial_start(self, trial: Trial) -> None:
        self.told.append(("start", trial.custom_dirname))

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        self.told.append(("result", result["env_runners"]["num_env_steps_sampled"]))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        self.told.append(("end", trial.custom_dirname, failed))


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[Notes]:
    made: list[Notes] = []

    def make(study: str) -> Notes:
        made.append(Notes(study))
        return made[-1]

    monkeypatch.setitem(trackers.TRACKERS, "json", make)  # a package that is always there
    return made


def test_a_tracker_follows_trials_from_start_to_end_anew_for_each_experiment(notes: list[Notes]) -> None:
    with tracked(["json"]), watched_run("mine", {}):
        for number in range(2):
            watch = pickle.loads(pickle.dumps(TrialWatch()))  # as Tune keeps it, and takes it up again
            with watched_trials({}):
                watch.setup()
                watch.on_trial_start(0, [], trial("a"))
                watch.on_trial_result(1, [], trial("a"), result(5 + number))
                watch.on_trial_error(1, [], trial("a"))
                watch.on_trial_complete(1, [], trial("b"))
                watch.on_experiment_end([])
    assert [note.told for note in notes] == [
        ["mine", "setup", ("start", "a"), ("result", steps), ("end", "a", True), ("end", "b", False)]
        for steps in (5, 6)
    ]


def test_without_the_choice_no_tracker_is_told(notes: list[Notes]) -> None:
    with tracked(["json"]):
        pass
    with watched_trials({}):
        TrialWatch().setup()
    assert notes == []


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roamrl.platform.optional_packages.find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"pip install 'roamrl\[{name}\]'"), tracked([name]):
        raise AssertionError("the run must not begin")


def test_an_unknown_tracker_names_the_nearest() -> None:
    with pytest.raises(InputError, match="mlflow"), tracked(["mlfow"]):
        raise AssertionError("the run must not begin")


def test_the_command_says_so_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from roamrl.platform.cli.main import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "quick", "--track", "mlfow"])
    assert ended.value.code == 2
    assert "mlflow" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_mlflow_keeps_a_run_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow (extra mlflow)")
    make: Callable[..., Any] = mlflow.tracking.MlflowClient
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    one = trial("a")
    with tracked(["mlflow"]), watched_run("mine", {}), watched_trials({"a": REUSE}):
        watch = TrialWatch()
        watch.setup()
        watch.on_trial_start(0, [], one)
        watch.on_trial_result(1, [], one, result(5))
        watch.on_trial_complete(1, [], one)
    client = make((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["folder"] == "/runs/a"
    assert run.data.metrics["env_runners/num_env_steps_sampled"] == 5
    assert run.info.status == "FINISHED"
    assert PROJECT not in {found.name for found in client.search_experiments()}
