"""The comparison of the ways to generalise against the truth that the run was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from roamrl.algorithms.strategy import strategy_names
from roamrl.envs.errors import InputError
from roamrl.platform.cli.tables import WIDTH, Column, print_table
from roamrl.platform.evaluation.statistics import Estimate, wilson_interval
from roamrl.platform.report import comparison_pillars
from roamrl.platform.report.arms import target_views
from roamrl.platform.report.comparison import Comparison, ComparisonRow, comparisons
from roamrl.platform.report.comparison_pillars import META, MULTITASK, OTHER, REFERENCES, TRANSFER, pillar_of
from roamrl.platform.report.comparison_text import text_tables
from roamrl.platform.report.comparison_views import fields, out_of_distribution
from roamrl.platform.report.page import write_report
from roamrl.platform.report.run_data import Row, read_run
from roamrl.platform.report.summary import summarise
from roamrl.platform.study.schema import CLASSICAL_TUNED

MakeRun = Callable[..., Path]
SPLITS = {"ood-load": 3, "iid": 2, "ood-snr": 2}


def compare(folder: Path) -> list[Comparison]:
    run = read_run(folder)
    return comparisons(run, target_views(run), run.settings)


def by_arm(comparison: Comparison) -> dict[str, ComparisonRow]:
    return {row.arm: row for row in comparison.rows}


@pytest.fixture(scope="module")
def arms(arm_truth: Any) -> dict[str, Any]:
    """joint is ahead of reuse on ood-snr and behind it on the others; classical-tuned is a line that ends at .5."""

    def line(ood_load: Any, iid: Any, ood_snr: Any) -> dict[str, Any]:
        return {"ood-load": ood_load, "iid": iid, "ood-snr": ood_snr}

    flat = (0.2, 0.4)
    return {
        "scratch": arm_truth("scratch", line((0.0, 0.6), (0.0, 0.6), (0.0, 0.6)), 0.02),
        "joint": arm_truth("joint", line((0.4, 0.6), (0.4, 0.6), (0.6, 0.8)), 0.02, 2_000_000, 2),
        "reuse": arm_truth("reuse", line((0.6, 0.88), (0.6, 0.88), (-0.4, 0.2)), 0.02, 1_000_000, 4),
        CLASSICAL_TUNED: arm_truth(CLASSICAL_TUNED, line(flat, flat, flat), 0.0),
    }


@pytest.fixture(scope="module")
def folder(make_run: MakeRun, arms: dict[str, Any]) -> Path:
    return make_run(arms=arms, splits=SPLITS, seeds=6)


@pytest.fixture(scope="module")
def found(folder: Path) -> list[Comparison]:
    return compare(folder)


def test_splits_out_of_distribution_are_pooled_and_then_each_stands_alone(found: list[Comparison]) -> None:
    assert [each.field.splits for each in found] == [("ood-load", "ood-snr"), ("ood-load",), ("iid",), ("ood-snr",)]
    assert found[0].field.name == "all targets out of distribution"
    assert {row.runs for row in found[0].rows if row.arm != "classical"} == {30}
    assert by_arm(found[0])["classical"].runs == 5


def test_area_and_zero_shot_are_those_of_the_lines(found: list[Comparison]) -> None:
    for comparison, joint, reuse in ((found[1], 0.5, 0.74), (found[3], 0.7, -0.1)):
        rows = by_arm(comparison)
        for arm, area in (("joint", joint), ("reuse", reuse), (CLASSICAL_TUNED, 0.3), ("scratch", 0.3)):
            adaptability = rows[arm].adaptability
            assert adaptability is not None
            assert adaptability.value == pytest.approx(area, abs=1e-9)
            assert arm == CLASSICAL_TUNED or adaptability.low < area < adaptability.high
    zero_shot = by_arm(found[3])["reuse"].zero_shot
    assert zero_shot is not None and zero_shot.value == pytest.approx(-0.4, abs=1e-9)


def test_negative_transfer_counts_runs_whose_area_is_below_their_twins(found: list[Comparison]) -> None:
    alone, pooled = by_arm(found[3]), by_arm(found[0])
    for rows, arm, hits, runs in ((alone, "reuse", 12, 12), (alone, "joint", 0, 12), (pooled, "reuse", 12, 30)):
        assert rows[arm].below_scratch == wilson_interval(hits, runs)
    assert pooled["scratch"].below_scratch is None
    # The classical policy scores .45 everywhere, above the area of every run of scratch.
    assert pooled["classical"].below_scratch == wilson_interval(0, 30)


@pytest.mark.parametrize(("factor", "share"), [(1, 0.0), (2, 1.0), (1000, 1.0)])
def test_scratch_is_met_at_equal_steps_not_at_equal_episodes(
    make_run: MakeRun, arm_truth: Any, factor: int, share: float
) -> None:
    """Above scratch by .02 at every n, but at twice the steps, after which scratch has gained up to .055."""
    arms = {
        "scratch": arm_truth("scratch", {"ood": (0.0, 0.6)}, noise=0.0),
        "reuse": arm_truth("reuse", {"ood": (0.02, 0.62)}, noise=0.0),
    }
    run = read_run(make_run(arms=arms, splits={"ood": 1}, seeds=2, curves=False))
    rows = [replace(row, env_steps=factor * row.env_steps) if row.arm == "reuse" else row for row in run.rows]
    run = replace(run, rows=rows)
    (only,) = comparisons(run, target_views(run), run.settings)
    below = by_arm(only)["reuse"].below_scratch
    assert below is not None
    assert below.value == share


def test_n_star_and_the_share_that_gets_there(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"ood": (0.0, 0.70)}, noise=0.0),
        "reuse": arm_truth("reuse", {"ood": (0.80, 0.90)}, noise=0.0),
    }
    (only,) = compare(make_run(arms=arms, splits={"ood": 2}, seeds=3, classical=0.86))
    rows = by_arm(only)
    # 0.80 + 0.10 log(1 + n) / log 2001 >= 0.95 x 0.9 from n = 65 on, so at the point 100.
    assert (rows["reuse"].n_star, rows["reuse"].reached) == (100, wilson_interval(6, 6))
    assert (rows["scratch"].n_star, rows["scratch"].reached) == (np.inf, wilson_interval(0, 6))
    assert (rows["classical"].n_star, rows["classical"].reached) == (0, wilson_interval(2, 2))


def test_training_complexity_is_what_was_spent(found: list[Comparison]) -> None:
    rows = by_arm(found[0])
    assert rows["joint"].steps == 2_000_000 + 2000 * 50
    assert rows["joint"].cpu_s == pytest.approx(100.0 + 0.02 * 2000)
    assert (rows[CLASSICAL_TUNED].steps, rows[CLASSICAL_TUNED].tuned) == (2000 * 50, 0.0)
    assert np.isnan(rows["joint"].memory_mb)
    assert np.isnan(rows["joint"].tuned)


def with_peaks(rows: list[Row], peaks: dict[tuple[str, str], float]) -> list[Row]:
    return [replace(row, peak_memory_mb=peaks.get((row.stage, row.arm), np.nan)) for row in rows]


def test_peak_memory_is_the_largest_of_an_arms_trials_and_its_experts(folder: Path) -> None:
    run = read_run(folder)
    peaks = {("adapt", "joint"): 410.0, ("pretrain", "joint"): 655.5, ("adapt", "scratch"): 300.0}
    peaks |= {("tune", "scratch"): 320.0}
    run = replace(run, rows=with_peaks(run.rows, peaks), sources=with_peaks(run.sources, peaks))
    rows = by_arm(comparisons(run, target_views(run), run.settings, pooled_alone=True)[0])
    assert rows["joint"].memory_mb == 655.5
    assert rows["scratch"].memory_mb == 320.0
    assert np.isnan(rows["reuse"].memory_mb)


def test_runs_from_before_peak_memory_was_kept_can_be_read(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "results.parquet")
    pq.write_table(table.drop_columns("peak_memory_mb"), tmp_path / "results.parquet")
    (tmp_path / "study.yaml").write_bytes((folder / "study.yaml").read_bytes())
    assert {str(row.peak_memory_mb) for row in read_run(tmp_path).rows} == {"nan"}


def test_the_pooled_comparison_alone_is_the_first_of_all(folder: Path, found: list[Comparison]) -> None:
    run = read_run(folder)
    (only,) = comparisons(run, target_views(run), run.settings, pooled_alone=True)
    assert only.field.name == found[0].field.name
    assert repr(only.rows) == repr(found[0].rows)  # unknown numbers are NaN, which equals nothing


def test_tuned_hyperparameters_are_those_that_differ_among_candidates(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, splits={"different": 1})

    def candidates(*settings: tuple[float, dict[str, Any]]) -> dict[str, Any]:
        return {"val": [{"lr": lr, "settings": own, "curve": {}} for lr, own in settings]}

    choices = {
        "scratch": candidates((0.1, {}), (0.2, {})),
        "reuse": candidates((0.1, {"a": 1, "b": [1]}), (0.2, {"a": 2, "b": [1]}), (0.2, {"a": 2, "b": [1]})),
        "joint": candidates((0.1, {"a": 1})),
    }
    (folder / "tuning.json").write_text(json.dumps(choices))
    rows = by_arm(compare(folder)[0])
    assert [rows[arm].tuned for arm in ("scratch", "reuse", "joint")] == [1, 2, 0]
    (folder / "tuning.json").write_text(json.dumps({"scratch": {"fixed": 1}}))
    with pytest.raises(InputError, match=r"tuning\.json cannot be read"):
        compare(folder)


def test_rows_are_grouped_by_pillar(found: list[Comparison]) -> None:
    assert [(pillar, [row.arm for row in rows]) for pillar, rows in found[0].by_pillar] == [
        (TRANSFER, ["reuse"]),
        (MULTITASK, ["joint"]),
        (REFERENCES, ["scratch", CLASSICAL_TUNED, "classical"]),
    ]


def test_a_pillar_is_where_a_strategy_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    pillars = {name: pillar_of(name) for name in strategy_names()}
    assert (pillars["reuse"], pillars["joint"]) == (TRANSFER, MULTITASK)
    assert pillars["scratch"] == pillars["specialist"] == pillar_of(CLASSICAL_TUNED) == REFERENCES
    assert OTHER not in pillars.values()
    assert pillar_of("not-installed") == OTHER
    modules = {"roamrl.algorithms.meta.maml": META, "elsewhere.meta.maml": OTHER, "roamrl.algorithms.new.x": OTHER}
    for module, pillar in modules.items():
        strategy = type("Found", (), {"__module__": module})
        monkeypatch.setattr(comparison_pillars, "get_strategy", lambda _, found=strategy: found)
        assert pillar_of("maml") == pillar


@pytest.mark.parametrize(
    ("entry", "split", "outside"),
    [
        ({"published": "ood-load"}, "loads", True),
        ({"published": "iid"}, "ood-by-name-alone", False),
        ({"sample": 4, "outside": ["load"]}, "iid", True),
        ({"sample": 4, "outside": []}, "drawn", False),
        ({"tasks": []}, "similar", False),
        ({"tasks": []}, "different", True),
    ],
)
def test_what_is_out_of_distribution(entry: dict[str, Any], split: str, outside: bool) -> None:
    assert out_of_distribution({"splits": {split: entry}}, split) is outside


def test_both_protocols_have_their_comparisons(make_run: MakeRun) -> None:
    found = compare(make_run(seeds=2, splits={"different": 1, "similar": 1}, tunings=("fixed", "per-n"), curves=False))
    assert [(each.tuning, each.field.splits) for each in found] == [
        (tuning, splits) for tuning in ("fixed", "per-n") for splits in (("different",), ("similar",), ("different",))
    ]
    areas = [by_arm(each)["scratch"].adaptability for each in (found[0], found[3])]
    assert areas[0] is not None and areas[1] is not None
    assert areas[0].value == pytest.approx(0.35)
    last = np.log1p(100) / np.log1p(2000)  # tuning per n ends at 100 episodes, and lifts scores by .05
    assert areas[1].value == pytest.approx(0.05 + 0.35 * last)


def test_a_family_without_an_oracle_and_a_study_without_specialist_has_a_comparison(make_run: MakeRun) -> None:
    (only,) = compare(make_run(seeds=2, splits={"different": 1}, specialist=None, curves=False))
    rows = by_arm(only)
    assert all(row.reached is None and np.isnan(row.n_star) for row in rows.values())
    assert rows["reuse"].below_scratch is not None


def test_text_tables_fit_eighty_columns(found: list[Comparison], capsys: pytest.CaptureFixture[str]) -> None:
    low = Estimate(-0.444, -0.484, -0.404, 50)
    rows = [
        replace(row, adaptability=low, zero_shot=low, below_scratch=Estimate(1.0, 0.92, 1.0, 50))
        for row in found[0].rows
    ]
    wide = replace(found[0], rows=(*found[0].rows, *rows))
    for table in text_tables(wide):
        columns = [Column(name, "left" if place == 0 else "right") for place, name in enumerate(table.columns)]
        print_table(columns, table.rows, table.title)
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= WIDTH
    assert "…" not in said
    reuse = [line.split() for line in said.splitlines() if line.startswith("reuse")]
    assert reuse[0][-3:] == ["40", "[25", "58]"]
    assert reuse[1][1:4] == ["\N{MINUS SIGN}.44", "[\N{MINUS SIGN}.48", "\N{MINUS SIGN}.40]"]
    assert "policy transfer " in said


def test_the_summary_says_where_joint_training_beats_transfer_and_where_not(folder: Path) -> None:
    run = read_run(folder)
    lines = summarise(target_views(run), run.settings).simple
    joint = next(line for line in lines if "(joint)" in line)
    assert joint.startswith("Fine-tuned joint training (joint) against policy transfer, over all targets out of dist")
    assert "reuse (P = 0.40 [0.40, 0.40]; better on 1 of 3 splits taken alone, namely ood-snr" in joint
    assert "worse on ood-load and iid" in joint
    tuned = next(line for line in lines if f"({CLASSICAL_TUNED})" in line)
    assert tuned.startswith("The classical policy tuned on the target")
    assert not [line for line in lines if "meta-learning" in line]


def test_where_neither_joint_nor_tuned_classical_took_part_scratch_stands_in(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"ood": (0.4, 0.8)}),
        "reuse": arm_truth("reuse", {"ood": (0.0, 0.2)}),
    }
    run = read_run(make_run(arms=arms, splits={"ood": 3}, seeds=5))
    (line,) = summarise(target_views(run), run.settings).simple
    assert line.startswith("Learning from nothing (scratch) against policy transfer, over ood:")
    assert line.endswith("it beats reuse (P = 1.00 [1.00, 1.00]).")


def test_the_page_shows_the_comparison(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, splits={"different": 1, "similar": 1}, curves=False)
    text = write_report(folder).read_text(encoding="utf-8")
    section = text[text.index('id="comparison"') : text.index('id="convergence"')]
    run = read_run(folder)
    assert section.count("<table>") == len(fields(run.study, target_views(run), "fixed")) == 3
    assert 'colspan="10">Policy transfer</th>' in section
    assert "Simple ways against transfer and meta-learning" in text
    reuse = re.search("<tr><th>reuse</th>(.*)</tr>", section)
    assert reuse is not None
    cells = [re.sub("<[^>]+>", "", cell) for cell in reuse.group(1).split("</td>")[:-1]]
    assert len(cells) == 9
    assert cells[0].startswith("\N{MINUS SIGN}0.10 [")
    assert cells[4].replace("\u202f", "") == "1100000"
