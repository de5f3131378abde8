"""Population-based training in one trial: deterministic, resumable in the middle, and logged."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.sweep.algorithm import REPORTS, SCORE, SweepConfig, read_reports
from roamrl.platform.sweep.folder import REPORTS_FILE, SweepFolder
from roamrl.platform.sweep.plan import sweep_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(poles, tmp_path_factory) -> SweepFolder:
    members = {"lr": {"loguniform": [1e-4, 1e-1]}, "gamma": {"uniform": [0.8, 0.99]}}
    study = poles({"members": members, "scheduler": "pbt", "pbt": {"interval": 1}, "budget": {"trials": 6}})
    folder = SweepFolder.open(tmp_path_factory.mktemp("pbt") / "sweep", study)
    splits = sweep_splits(study)
    folder.write_tasks(splits, set())
    folder.write_references({named.task.id: ReferenceReturns({"trivial": np.zeros(4)}, {}) for named in splits["val"]})
    return folder


def started(folder: SweepFolder):
    config = SweepConfig()
    config.sweep_folder = str(folder.path)
    return config.build_algo()


def without_times(reports) -> list[dict]:
    return [{name: value for name, value in asdict(each).items() if name != "wall_s"} for each in reports]


def test_an_interrupted_population_ends_as_one_that_was_not(local_ray, folder, tmp_path: Path) -> None:
    algorithm = started(folder)
    first = algorithm.train()
    assert (first[REPORTS], first["done"]) == (1, False)
    place = algorithm.save_to_path(str(tmp_path / "checkpoint"))
    while not (result := algorithm.train())["done"]:
        pass
    states, reports = algorithm.member_states(), algorithm.reports
    algorithm.stop()
    assert result[SCORE] == max(reports[-1].scores)
    assert [report.iteration for report in reports] == [1, 2, 3, 4]
    _check_exchanges(reports)

    (folder.trial({}) / REPORTS_FILE).unlink()
    resumed = started(folder)
    resumed.restore_from_path(place)
    while not resumed.train()["done"]:
        pass
    assert without_times(resumed.reports) == without_times(reports)
    assert without_times(read_reports(folder.trial({}))) == without_times(reports)
    for state, expected in zip(resumed.member_states(), states, strict=True):
        for name, array in state.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
    resumed.stop()

    over = started(folder)
    result = over.train()
    assert (result["done"], result[REPORTS], result[SCORE]) == (True, 4, max(reports[-1].scores))
    assert over.recorder.iterations == 0  # nothing was trained again
    over.stop()


def _check_exchanges(reports) -> None:
    assert any(report.copies for report in reports) and not reports[-1].copies
    for report, following in pairwise(reports):
        copied = dict(report.copies)
        for member in range(6):
            before, after = report.values["lr"][member], following.values["lr"][member]
            if member not in copied:
                assert after == before
                continue
            source = copied[member]
            assert report.member_scores[source] > report.member_scores[member]
            assert report.values["clip"][source] == following.values["clip"][member]
            assert after != report.values["lr"][source] and 1e-4 <= after <= 1e-1
