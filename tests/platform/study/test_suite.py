"""Suites: which files are some, what is refused, and a run of two studies on one page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from roamrl.envs.errors import InputError
from roamrl.platform.cli.main import app
from roamrl.platform.report.suite_page import write_suite_report
from roamrl.platform.study.load import check_study, study_names
from roamrl.platform.study.run import read_results
from roamrl.platform.study.schema import Study
from roamrl.platform.study.suite import Suite, builtin_suite, find_suite, run_suite, suite_names


def write(folder: Path, name: str, content: object) -> str:
    (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(folder / name)


def test_built_in_suites_hold_built_in_studies() -> None:
    assert {"compare", "compare-quick"} <= set(suite_names())
    for name in suite_names():
        suite = builtin_suite(name)
        assert suite.name == name
        assert {study.name for study in suite.studies} <= set(study_names())
        assert name not in study_names()


def test_a_study_is_no_suite(tmp_path: Path, tiny: Study) -> None:
    assert find_suite("quick") is None
    assert find_suite(write(tmp_path, "study.yaml", tiny.model_dump(mode="json"))) is None
    assert find_suite(str(tmp_path)) is None


def test_studies_lie_beside_the_suite_and_take_the_same_overrides(tmp_path: Path, tiny: Study) -> None:
    raw = tiny.model_dump(mode="json")
    write(tmp_path, "one.yaml", {**raw, "name": "one"})
    file = write(tmp_path, "both.yaml", {"name": "both", "suite": ["one.yaml", "quick"]})
    suite = find_suite(file, ["adapt.seeds=3"])
    assert suite is not None
    assert [study.name for study in suite.studies] == ["one", "quick"]
    assert {study.adapt.seeds for study in suite.studies} == {3}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "x", "suite": []}, "at least 1"),
        ({"name": "x", "suite": ["quik"]}, "did you mean 'quick'"),
        ({"name": "x", "suite": ["quick"], "abot": ""}, "did you mean 'about'"),
        ({"name": "x", "suite": ["quick", "quick"]}, "a name of its own"),
    ],
)
def test_faulty_suites_are_refused(tmp_path: Path, content: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_suite(write(tmp_path, "faulty.yaml", content))


def test_an_unknown_name_is_told_the_nearest_of_studies_and_suites() -> None:
    with pytest.raises(InputError, match="did you mean 'compare'"):
        find_suite("compar")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, tiny: Study) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run of a suite"):
        run_suite(Suite("both", "", (tiny,)), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_study_has_its_run_and_the_page_shows_them_all(local_ray: object, tiny: Study, tmp_path: Path) -> None:
    raw = tiny.model_dump(mode="json")
    raw["arms"] = {name: raw["arms"][name] for name in ("scratch", "specialist", "reuse")}
    studies = tuple(check_study({**raw, "name": name}, name) for name in ("first", "second"))
    folder = tmp_path / "suite"
    done = run_suite(Suite("both", "Two of them.", studies[:1]), out=folder, store=str(tmp_path / "store"))
    record = json.loads((folder / "suite.json").read_text())
    (folder / "suite.json").write_text(json.dumps({**record, "studies": ["first", "second"]}))
    page = write_suite_report(folder).read_text()
    assert page.count("Not finished") == 1
    assert 'href="../first/report/index.html"' in page and 'href="../second/report/index.html"' not in page

    done = run_suite(Suite("both", "Two of them.", studies), out=folder, store=str(tmp_path / "store"))
    assert (done.failed, done.folder) == (0, folder)
    page = done.report.read_text()
    assert "Not finished" not in page and page.count("Deployment adaptability") == 2
    done.report.unlink()
    answer = CliRunner().invoke(app, ["report", str(folder)])
    assert answer.exit_code == 0, answer.exception
    said = answer.stdout
    assert said.splitlines()[-1] == str(done.report) and done.report.read_text() == page
    assert "what arms are worth" in said and "second" in said
    tables = [read_results(folder / name) for name in ("first", "second")]
    assert tables[0].num_rows == tables[1].num_rows > 0
