"""Damaged checkpoints: found by their seal, and walked back from to the newest whole one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.checkpoint_recovery import (
    RECOVERED_FILE,
    SEAL_FILE,
    is_whole,
    newest_whole,
    read_seal,
    seal,
)
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.envs.errors import InputError


def write_checkpoint(place: Path, iteration: int) -> Path:
    (place / "learner").mkdir(parents=True)
    (place / "algorithm_state.pkl").write_bytes(bytes(range(200)))
    (place / "learner" / "state.pkl").write_bytes(b"weights" * iteration)
    seal(place, iteration)
    return place


def largest_file(place: Path) -> Path:
    return max((path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(place: Path) -> None:
    path = largest_file(place)
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(place: Path) -> None:
    path = largest_file(place)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_a_file(place: Path) -> None:
    largest_file(place).unlink()


def empty_the_seal(place: Path) -> None:
    (place / SEAL_FILE).write_bytes(b"")


def lie_in_the_seal(place: Path) -> None:
    known = json.loads((place / SEAL_FILE).read_bytes())
    (place / SEAL_FILE).write_text(json.dumps({**known, "iteration": 99}))


def lose_the_seal(place: Path) -> None:
    (place / SEAL_FILE).unlink()


DAMAGES = (truncate, flip_a_bit, lose_a_file, empty_the_seal, lie_in_the_seal, lose_the_seal)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_the_newest_whole_one_taken(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    older, old, new = (write_checkpoint(tmp_path / f"checkpoint_{number:06d}", number + 1) for number in range(3))
    assert [read_seal(place).iteration for place in (older, old, new)] == [1, 2, 3]
    assert is_whole(new) and newest_whole(tmp_path) == new
    damage(new)
    assert not is_whole(new) and newest_whole(tmp_path) == old
    damage(older)
    assert newest_whole(tmp_path) == old
    damage(old)
    assert newest_whole(tmp_path) is None


def test_age_is_by_iterations_and_not_by_names(tmp_path: Path) -> None:
    newer = write_checkpoint(tmp_path / "checkpoint_000001", 9)
    write_checkpoint(tmp_path / "checkpoint_000002", 7)
    assert newest_whole(tmp_path) == newer


def test_every_bit_counts(tmp_path: Path) -> None:
    place = write_checkpoint(tmp_path / "checkpoint_000000", 1)
    for path in [path for path in place.rglob("*") if path.is_file()]:
        sound = path.read_bytes()
        for at in range(0, len(sound), 7):
            damaged = bytearray(sound)
            damaged[at] ^= 1 << (at % 8)
            path.write_bytes(damaged)
            assert not is_whole(place), (path.name, at)
        path.write_bytes(sound)
    assert is_whole(place)


class DamageAndKill(tune.Callback):
    """At a trial's fourth result, damages checkpoints of its folder and kills its process, once."""

    def __init__(self, damages: dict[str, Callable[[list[Path]], None]]) -> None:
        self.damages, self.seen, self.times = damages, {}, {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        name = Path(trial.config["folder"]).name
        self.seen.setdefault(name, []).append(result["training_iteration"])
        self.times.setdefault(name, []).append(time.monotonic())
        if self.seen[name] == [1, 2, 3, 4]:
            places = Path(trial.storage.trial_fs_path).glob("checkpoint_*")
            self.damages[name](sorted(places))
            os.kill(result["pid"], signal.SIGKILL)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trials_walk_back_and_end_as_undisturbed(
    local_ray: object,
    tmp_path: Path,
    cartpole_learner: Callable[..., LearnerSpec],
    undisturbed: Callable[[LearnerSpec], Path],
    assert_same_outcome: Callable[[Path, Path], None],
) -> None:
    """With a checkpoint every iteration and two kept, numbers 2 and 3 are there when the fourth result comes."""
    learner = cartpole_learner(1, 2)
    damages: dict[str, Callable[[list[Path]], None]] = {
        "none": lambda places: None,
        "truncated": lambda places: truncate(places[-1]),
        "flipped": lambda places: flip_a_bit(places[-1]),
        "gone": lambda places: shutil.rmtree(places[-1]),
        "all": lambda places: [truncate(place) for place in places] and None,
    }
    wanted = {"none": [4, 5, 6], **{name: [3, 4, 5, 6] for name in ("truncated", "flipped", "gone")}}
    for name in damages:
        write_learner(tmp_path / name, learner)
    killer = DamageAndKill(damages)
    results = tune.Tuner(
        PopulationAlgorithm,
        param_space={"folder": tune.grid_search([str(tmp_path / name) for name in damages]), "env": "CartPole-v1"},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "tune"),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=False, num_to_keep=2),
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[killer],
            verbose=0,
        ),
    ).fit()
    for name, times in killer.times.items():
        print(f"{times[4] - times[3]:.1f} s from the trial's death to its next result ({name})")
    assert not results.errors
    assert killer.seen == {name: [1, 2, 3, 4, *wanted.get(name, [1, 2, 3, 4, 5, 6])] for name in damages}
    expected = undisturbed(learner)
    for name in damages:
        assert_same_outcome(tmp_path / name, expected)
    said = {name: (tmp_path / name / RECOVERED_FILE) for name in damages}
    assert not said["none"].exists()
    for name in ("truncated", "flipped", "gone"):
        assert "is damaged or gone: the trial goes on from checkpoint_" in said[name].read_text()
    assert "is damaged or gone: the trial begins anew" in said["all"].read_text()


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_outside_of_a_trial_a_damaged_checkpoint_is_refused(
    local_ray: object, tmp_path: Path, cartpole_learner: Callable[..., LearnerSpec]
) -> None:
    write_learner(tmp_path / "learner", cartpole_learner(1))
    algorithm = PopulationAlgorithm({"folder": str(tmp_path / "learner"), "env": "CartPole-v1"})
    algorithm.train()
    place = tmp_path / "saved" / "checkpoint_000000"
    algorithm.save(str(place))
    algorithm.train()
    algorithm.restore(str(place))
    assert (algorithm.iteration, algorithm.recorder.iterations) == (1, 1)
    flip_a_bit(place)
    with pytest.raises(InputError, match="is damaged"):
        algorithm.restore(str(place))
    algorithm.stop()
