"""From reports to the table, the best settings, and a study file that a run takes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.figures.parallel_coordinates import Coordinate, TrialLine, draw_parallel_coordinates
from roamrl.platform.study.load import load_study
from roamrl.platform.sweep.algorithm import Report
from roamrl.platform.sweep.best import best_study, write_best
from roamrl.platform.sweep.folder import REPORTS_FILE, SweepFolder
from roamrl.platform.sweep.plan import sweep_splits
from roamrl.platform.sweep.report import exchanges, write_page
from roamrl.platform.sweep.results import best_candidate, ranked, read_candidates, read_sweep, write_candidates

SPACE = {"pretrain.lr": {"loguniform": [1e-4, 1e-2]}, "module.model.hidden": {"choice": [[8], [16, 16]]}}
TRIALS = [
    {},
    {"pretrain.lr": 0.001, "module.model.hidden": [8]},
    {"pretrain.lr": 0.01, "module.model.hidden": [16, 16]},
]


def report(step, scores, members=None, values=None, copies=()):
    return Report(step, step * 64, float(step), list(scores), list(members or scores), values or {}, list(copies))


def keep(folder, settings, reports):
    place = folder.trial(settings)
    place.mkdir(parents=True)
    (place / REPORTS_FILE).write_text(json.dumps([asdict(each) for each in reports]))


@pytest.fixture
def space_sweep(poles, tmp_path):
    study = poles({"space": SPACE})
    folder = SweepFolder.open(tmp_path / "sweep", study)
    folder.write_tasks(sweep_splits(study), set())
    keep(folder, TRIALS[0], [report(2, [20.0], [18.0, 22.0]), report(4, [25.0], [25.0, 25.0])])
    keep(folder, TRIALS[1], [report(2, [30.0]), report(4, [60.0])])
    keep(folder, TRIALS[2], [report(2, [90.0])])
    return study, folder


def test_the_best_is_the_highest_of_those_that_trained_to_their_end(space_sweep):
    study, folder = space_sweep
    candidates = read_candidates(folder, study, TRIALS)
    assert [each.ending for each in candidates] == ["done", "done", "stopped"]
    assert best_candidate(candidates).number == 1
    assert [each.number for each in ranked(candidates)] == [1, 0, 2]


def test_without_a_trial_that_ended_nothing_is_best(space_sweep):
    study, folder = space_sweep
    with pytest.raises(InputError, match="no trial of the sweep trained to its end"):
        best_candidate(read_candidates(folder, study, TRIALS[2:]))


def test_the_table_has_a_row_a_trial_and_report(space_sweep):
    study, folder = space_sweep
    write_candidates(folder.path, study, read_candidates(folder, study, TRIALS))
    table = read_sweep(folder.path).to_pandas()
    assert table[["trial", "report", "score"]].values.tolist() == [
        [0, 1, 20.0],
        [0, 2, 25.0],
        [1, 1, 30.0],
        [1, 2, 60.0],
        [2, 1, 90.0],
    ]
    assert table["score_deviation"][0] == pytest.approx(math.sqrt(8))
    assert table["search.pretrain.lr"].tolist() == [1e-5, 1e-5, 0.001, 0.001, 0.01]  # the study's own at first
    assert table["search.module.model.hidden"].tolist() == ["[32]", "[32]", "[8]", "[8]", "[16, 16]"]
    assert table["env_steps"].tolist() == [128, 256, 128, 256, 128]


def test_the_best_settings_are_a_study_that_a_run_takes(space_sweep):
    study, folder = space_sweep
    best = best_candidate(read_candidates(folder, study, TRIALS))
    path = write_best(folder.path, study, best)
    loaded = load_study(str(path))
    assert loaded == best_study(study, best).model_copy(update={"name": "poles-best"})
    assert (loaded.pretrain.lr, loaded.module.model["hidden"], loaded.search) == (0.001, [8], None)
    unchanged = {"name", "search", "pretrain", "module"}
    assert loaded.model_dump(exclude=unchanged) == study.model_dump(exclude=unchanged)
    assert loaded.pretrain.steps == 256  # a run has the study's budget, not the sweep's
    text = path.read_text()
    assert "pretrain.lr: 0.001" in text.split("name:")[0] and str(folder.path) in text and "60.0" in text


@pytest.fixture
def exchange_sweep(poles, tmp_path):
    members = {"lr": {"loguniform": [1e-4, 1e-2]}, "gamma": {"uniform": [0.8, 0.99]}}
    study = poles({"members": members, "scheduler": "pbt", "pbt": {"interval": 2}})
    folder = SweepFolder.open(tmp_path / "sweep", study)
    folder.write_tasks(sweep_splits(study), set())
    first = {"lr": [1e-5, 2e-3, 3e-3], "gamma": [0.98, 0.9, 0.85]}
    then = {"lr": [2.5e-3, 2e-3, 3e-3], "gamma": [0.92, 0.9, 0.85]}
    keep(
        folder,
        {},
        [report(2, [10.0, 50.0, 40.0], values=first, copies=[(0, 1)]), report(4, [80.0, 70.0, 45.0], values=then)],
    )
    return study, folder


def test_who_took_over_whom_is_listed_with_what_changed(exchange_sweep):
    study, folder = exchange_sweep
    candidates = read_candidates(folder, study, [{}])
    (only,) = exchanges(study, candidates)
    assert (only.member, only.source, only.env_steps, only.score, only.source_score) == (0, 1, 128, 10.0, 50.0)
    assert (only.before, only.after) == ("lr 1e-05, gamma 0.98", "lr 0.0025, gamma 0.92")
    write_candidates(folder.path, study, candidates)
    table = read_sweep(folder.path).to_pandas()
    assert table[table["copied_from"].notna()][["trial", "report", "copied_from"]].values.tolist() == [[0, 1, 1]]
    assert table[table.trial == 0]["search.lr"].tolist() == [1e-5, 2.5e-3]


def test_of_changing_settings_the_last_are_written(exchange_sweep):
    study, folder = exchange_sweep
    best = best_candidate(read_candidates(folder, study, [{}]))
    assert best.number == 0
    loaded = load_study(str(write_best(folder.path, study, best)))
    assert loaded.arms["joint"].pretrain == {"lr": 2.5e-3}
    assert loaded.ppo.gamma == 0.92
    assert "these are its last" in (folder.path / "best.yaml").read_text()


def test_the_page_says_what_was_found(exchange_sweep):
    study, folder = exchange_sweep
    candidates = read_candidates(folder, study, [{}])
    about = {"wall_s": 3.0, "env_steps": 768, "machine": "m", "commit": "c" * 40, "command": "roamrl sweep poles"}
    page = write_page(folder.path, study, candidates, best_candidate(candidates), [], about).read_text(encoding="utf-8")
    assert "Trial 0 of 3 scored highest" in page and "Who took over whom" in page and "<svg" in page
    assert (folder.path / "report" / "parallel-coordinates.png").stat().st_size > 10_000


def test_another_sweep_or_anything_else_is_not_written_over(poles, space_sweep, tmp_path):
    study, folder = space_sweep
    assert SweepFolder.open(folder.path, study).study() == study
    with pytest.raises(InputError, match="another --out"):
        SweepFolder.open(folder.path, poles({"space": SPACE, "seed": 1}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(InputError, match="holds no sweep"):
        SweepFolder.open(tmp_path / "other", study)
    with pytest.raises(InputError, match="not finished"):
        read_sweep(folder.path)


def test_tasks_and_references_come_back(space_sweep):
    study, folder = space_sweep
    splits = sweep_splits(study)
    assert folder.tasks() == splits
    assert set(splits) == {"val", "sources"}


def lines_of(figure):
    (axes,) = figure.axes
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def test_coordinates_put_values_where_they_belong():
    coordinates = [
        Coordinate("lr", (1e-4, 1e-2, 1e-3), log=True),
        Coordinate("hidden", ("[8]", "[16]", "[8]"), listed=True),
        Coordinate("gamma", (0.8, None, 1.0)),
    ]
    trials = [TrialLine(10.0, True, best=True), TrialLine(0.0, True, own=True), TrialLine(5.0, False)]
    figure = draw_parallel_coordinates(coordinates, trials, "score")
    by_score = sorted(lines_of(figure), key=lambda line: line.get_ydata()[-1])
    own, stopped, best = (line.get_ydata() for line in by_score)
    assert best.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert own[[0, 1, 3]].tolist() == [1.0, 1.0, 0.0] and math.isnan(own[2])
    assert stopped.tolist() == pytest.approx([0.5, 0.0, 1.0, 0.5])
    assert by_score[1].get_linestyle() == "--" and by_score[2].get_linestyle() == "-"
