"""What was chosen on val, as the page says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.chosen import ChosenRow, chosen_rows
from roamrl.platform.report.page import write_report

MakeRun = Callable[..., Path]
SLOW, FAST = {"lr": 0.001, "settings": {"weight": 2.0, "mode": "auxiliary"}}, {"lr": 0.01, "settings": {}}
CHOICES = {
    "reuse": {"fixed": SLOW, "per_n": {"0": SLOW, "1": FAST, "5": SLOW}, "val": [SLOW, FAST]},
    "scratch": {"fixed": FAST, "per_n": {"0": FAST}, "val": [FAST]},
}


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    folder = make_run(seeds=3, splits={"similar": 2})
    (folder / "tuning.json").write_text(json.dumps(CHOICES))
    return folder


def test_every_arms_choice_is_a_row(run: Path) -> None:
    assert chosen_rows(run) == [
        ChosenRow("reuse", 0.001, "weight: 2.0, mode: auxiliary", 2, 2),
        ChosenRow("scratch", 0.01, "", 1, 1),
    ]


def test_the_page_shows_them_and_a_part_of_the_run_its_own(run: Path, tmp_path: Path) -> None:
    assert "weight: 2.0, mode: auxiliary" in write_report(run).read_text(encoding="utf-8")
    part = write_report(run, ["scratch"], tmp_path / "part").read_text(encoding="utf-8")
    assert "Chosen on the validation split" in part
    assert "weight: 2.0" not in part


def test_a_run_without_choices_has_no_rows_and_a_spoiled_file_is_named(run: Path) -> None:
    (run / "tuning.json").write_text('{"reuse": {"fixed": 0.1}}')
    with pytest.raises(InputError, match=r"tuning\.json cannot be read"):
        chosen_rows(run)
    (run / "tuning.json").unlink()
    assert chosen_rows(run) == []
