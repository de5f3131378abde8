"""A run's folder: resumed by the same study, refused to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.study.folder import RunFolder
from roamrl.platform.study.load import load_study


def test_the_same_study_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    study = load_study("quick")
    folder = RunFolder.open(tmp_path / "run", study, fresh=False)
    folder.write_study(study, set())
    folder.finish("a" * 64, {"experts": []})
    again = RunFolder.open(tmp_path / "run", study, fresh=False)
    assert list(again.finished()) == ["a" * 64]
    with pytest.raises(InputError, match="other settings"):
        RunFolder.open(tmp_path / "run", load_study("quick", ["seed=3"]), fresh=False)
    assert RunFolder.open(tmp_path / "run", load_study("quick", ["seed=3"]), fresh=True).finished() == {}


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        RunFolder.open(tmp_path, load_study("quick"), fresh=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_line_cut_off_by_a_kill_is_not_a_finished_unit(tmp_path: Path) -> None:
    study = load_study("quick")
    folder = RunFolder.open(tmp_path / "run", study, fresh=False)
    folder.finish("a" * 64, {"experts": []})
    with (folder.path / "manifest.jsonl").open("a") as file:
        file.write('{"key": "bbb", "exp')
    assert list(folder.finished()) == ["a" * 64]
    folder.finish("c" * 64, {"experts": []})
    assert set(folder.finished()) == {"a" * 64, "c" * 64}
