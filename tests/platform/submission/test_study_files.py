"""What goes with a job: a study that means the same there, and the files it names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from roamrl.envs.errors import InputError
from roamrl.platform.study.load import load_study
from roamrl.platform.study.suite import find_suite
from roamrl.platform.submission.study_files import StudyFiles, collect_study
from roamrl.platform.submission.submit import run_command, shell_word

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_overrides_and_what_it_extends_are_resolved_before_it_goes(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: quick\nname: mine\nseed: 3\n", encoding="utf-8")
    folder = tmp_path / "job"
    folder.mkdir()
    files = collect_study(str(mine), ["adapt.seeds=5"], folder)
    assert [path.name for path in folder.iterdir()] == [files.file] == ["mine.yaml"]
    there = load_study(str(folder / files.file))
    assert there.hash == load_study(str(mine), ["adapt.seeds=5"]).hash
    assert there.hash.startswith(files.digest)
    assert (there.adapt.seeds, there.seed) == (5, 3)


def test_a_module_of_ones_own_goes_along_and_an_installed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mobile_env")
    monkeypatch.syspath_prepend(str(DOCS / "mobile-env"))
    files = collect_study(str(DOCS / "mobile-env" / "study.yaml"), [], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {files.file, "mobile_cells.py"}
    assert (tmp_path / "mobile_cells.py").read_bytes() == (DOCS / "mobile-env" / "mobile_cells.py").read_bytes()


def test_a_package_of_ones_own_goes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "own_cells"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "making.py").write_text(
        "import gymnasium\n\ndef make(**kwargs):\n    return gymnasium.make('CartPole-v1')\n"
    )
    (package / "inner" / "table.csv").write_text("1,2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    raw = yaml.safe_load((Path(DOCS).parent / "platform/roamrl/platform/studies/cartpole.yaml").read_text())
    raw["config"]["make"] = "own_cells.making:make"
    raw["config"]["context"] = {"length": {"set": "kwarg", "train": [0.4, 0.8], "ood": [1.2, 2.0], "default": 0.5}}
    context = [{"name": "a", "context": {"length": 0.4}}]
    raw["splits"] = {
        "sources": {"tasks": context},
        "similar": {"tasks": [{"name": "b", "context": {"length": 0.5}}]},
        "different": {"tasks": [{"name": "c", "context": {"length": 1.5}}]},
        "val": {"tasks": [{"name": "d", "context": {"length": 0.6}}]},
    }
    study, folder = tmp_path / "own.yaml", tmp_path / "job"
    folder.mkdir()
    study.write_text(yaml.safe_dump(raw))
    collect_study(str(study), [], folder)
    assert (folder / "own_cells" / "inner" / "table.csv").read_text() == "1,2\n"
    assert (folder / "own_cells" / "making.py").is_file()


@pytest.mark.parametrize("as_file", [False, True])
def test_recordings_go_along_under_a_name_of_the_folder(tmp_path: Path, as_file: bool) -> None:
    recordings = tmp_path / "somewhere" / "else"
    recordings.mkdir(parents=True)
    (recordings / "a.parquet").write_bytes(b"bytes as they are")
    source = recordings / "a.parquet" if as_file else recordings
    folder = tmp_path / "job"
    folder.mkdir()
    files = collect_study("quick", [f"traces={source}"], folder)
    named = Path(yaml.safe_load((folder / files.file).read_text())["traces"])
    assert not named.is_absolute()
    found = folder / named if as_file else folder / named / "a.parquet"
    assert found.read_bytes() == b"bytes as they are"
    shutil.rmtree(recordings)
    with pytest.raises(InputError, match="else"):
        collect_study("quick", [f"traces={source}"], folder)


def test_a_suite_goes_as_a_suite(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("extends: quick\nname: one\n")
    (tmp_path / "both.yaml").write_text("name: both\nsuite: [one.yaml, quick]\n")
    folder = tmp_path / "job"
    folder.mkdir()
    files = collect_study(str(tmp_path / "both.yaml"), [], folder)
    there = find_suite(str(folder / files.file))
    here = find_suite(str(tmp_path / "both.yaml"))
    assert there is not None
    assert here is not None
    assert [study.hash for study in there.studies] == [study.hash for study in here.studies]


def test_the_command_quotes_all_but_the_home() -> None:
    files = StudyFiles("mine", "0" * 8, "mine.yaml")
    command = run_command(files, "~/my runs/a;b", "s3://bucket/a b", fresh=True)
    assert command == (
        "python -m roamrl.platform run mine.yaml --out ~/'my runs/a;b' --store 's3://bucket/a b' --fresh"
    )
    assert shell_word("~root/x") == "'~root/x'"
