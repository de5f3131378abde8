"""The words say what the truth is: what won, what lost, what cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roamrl.platform.report.arms import target_views
from roamrl.platform.report.cautions import cautions
from roamrl.platform.report.run_data import read_run
from roamrl.platform.report.summary import Summary, summarise

MakeRun = Callable[..., Path]


def words(folder: Path) -> Summary:
    run = read_run(folder)
    return summarise(target_views(run), run.settings)


def warnings(folder: Path) -> str:
    run = read_run(folder)
    return "\n".join(cautions(run, target_views(run)))


@pytest.fixture(scope="module")
def summary(make_run: MakeRun) -> Summary:
    return words(make_run(curves=False))


def test_the_winner_is_named_with_its_gain(summary: Summary) -> None:
    line = next(line for line in summary.won if line.startswith("On similar targets reuse is better than"))
    assert "scratch (area +0.37 [" in line
    assert "joint (area +0.08 [" in line
    assert "final +0.15 [" in line
    assert "the highest area under the adaptation curve is that of reuse: 0.72 [" in summary.headlines[0]


def test_the_loser_is_named_and_not_hidden(summary: Summary) -> None:
    assert [line for line in summary.lost if "reuse is worse than scratch (area \N{MINUS SIGN}0.45 [" in line]
    assert not [line for line in summary.lost if line.startswith("On similar")]


def test_where_the_simpler_way_is_better_it_says_so(summary: Summary) -> None:
    assert [line for line in summary.simpler if line.startswith("On different targets joint is better than reuse (")]
    assert [line for line in summary.simpler if "the classical policy is better than reuse (final +0.05" in line]


def test_an_arm_that_is_no_better_is_said_to_be_not_significant(summary: Summary) -> None:
    for split in ("similar", "different"):
        start = f"On {split} targets reuse-trunk is not significantly different from scratch (area 0.00 ["
        assert [line for line in summary.undecided if line.startswith(start)]
    assert not [line for line in summary.won if "reuse-trunk is better than scratch" in line]


def test_verdicts_need_interval_difference_and_permutation_to_agree(summary: Summary) -> None:
    for finding in summary.findings:
        if finding.verdict == "better":
            assert finding.judgement.probability.low > 0.5
            assert finding.judgement.difference.low > 0.0
            assert finding.judgement.p_value <= 0.05


def test_two_runs_against_two_are_never_a_sure_win(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.2)}, noise=0.01),
        "reuse": arm_truth("reuse", {"similar": (0.8, 0.9)}, noise=0.01),
    }
    found = words(make_run(arms=arms, splits={"similar": 1}, seeds=2))
    assert found.won == ()
    assert [line for line in found.undecided if "reuse is not significantly different from scratch" in line]


def test_one_seed_is_not_tested_and_says_why(make_run: MakeRun) -> None:
    folder = make_run(seeds=1, curves=False)
    found = words(folder)
    assert (found.tested, found.won, found.lost, found.undecided) == (0, (), (), ())
    assert "intervals are not available" in found.headlines[0]
    assert "Intervals are not available where an arm has one run on a task" in warnings(folder)


def test_both_protocols_are_compared_over_the_episodes_both_cover(make_run: MakeRun) -> None:
    found = words(make_run(curves=False, tunings=("fixed", "per-n")))
    assert len(found.protocols) == 2
    assert "up to 100 episodes" in found.protocols[0]
    # Tuning per n lifts every arm by 0.05: nothing changes between arms, but scratch, at 0.425 after 100 episodes,
    # passes the classical policy's 0.45.
    for line in found.protocols:
        assert "13 of 14 comparisons have the same verdict" in line
        assert "changed: scratch against classical by final (worse, then better)" in line


def test_an_arm_above_the_oracle_is_an_alarm(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {"scratch": arm_truth("scratch", {"similar": (0.0, 1.2)}, noise=0.0)}
    assert "scratch scored above the oracle on 2 tasks" in warnings(make_run(arms=arms, splits={"similar": 2}, seeds=2))


def test_scores_that_hang_on_the_episodes_drawn_are_told(make_run: MakeRun) -> None:
    text = warnings(make_run(curves=False, score_error={"similar": 0.004, "different": 0.17}))
    assert "standard error from its evaluation episodes alone is above 0.02 on different 0.17 (median" in text
    assert "similar" not in text


def test_what_a_publishable_table_lacks_is_named(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {"scratch": arm_truth("scratch", {"similar": (0.0, 0.5)})}
    text = warnings(make_run(arms=arms, splits={"similar": 2}, seeds=3, specialist=None))
    assert "Missing: joint, specialist and a transfer arm." in text
    assert "Only 3 seeds a task" in text


def test_nothing_is_missing_from_a_full_run(make_run: MakeRun) -> None:
    assert warnings(make_run(curves=False)) == ""


def test_failed_units_and_dropped_tasks_are_counted(make_run: MakeRun) -> None:
    failure = {"unit": "adapt/reuse/01234567", "stage": "adapt", "error": "ActorDiedError"}
    text = warnings(make_run(seeds=10, failures=(failure, failure), dropped=("flat cell",)))
    assert "2 units failed and are missing from every number" in text
    assert "1 task left out, as oracle and trivial are too close: flat cell." in text
