"""Reports of families without an oracle: shares of the best specialist, or returns, and named so everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from roamrl.platform.evaluation.normalisation import BY_SPECIALIST, RETURNS
from roamrl.platform.report.arms import target_views
from roamrl.platform.report.cautions import cautions
from roamrl.platform.report.page import write_report
from roamrl.platform.report.recommend import recommend
from roamrl.platform.report.run_data import read_run
from roamrl.platform.study.results import RESULTS, with_final_scores

TRIVIAL, BEST = 10.0, 10.0 + 0.91 * 20.0  # the synthetic run's two specialists end at .89 and .91 of the oracle


def without_oracle(folder: Path) -> Path:
    """Take the oracle out of a run, as if its family had none; scores are then those that a run ends with."""
    table = pq.read_table(folder / "results.parquet")
    table = table.filter(pc.not_equal(table["arm"], "oracle"))
    nothing = pa.array(np.full(table.num_rows, np.nan))
    for name, column in (("return_oracle", nothing), ("score", table["return_mean"])):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(with_final_scores(table.cast(RESULTS), "val"), folder / "results.parquet")
    return folder


@pytest.fixture(scope="module")
def shares(make_run: Callable[..., Path]) -> Path:
    return without_oracle(make_run())


@pytest.fixture(scope="module")
def returns(make_run: Callable[..., Path]) -> Path:
    return without_oracle(make_run(specialist=None))


def test_scores_are_shares_of_the_best_specialist(shares: Path) -> None:
    run = read_run(shares)
    assert run.yardstick is BY_SPECIALIST
    for row in run.rows:
        if row.split == "val":
            assert row.score == row.return_mean
        else:
            assert row.score == pytest.approx((row.return_mean - TRIVIAL) / (BEST - TRIVIAL))
    view = target_views(run)[0]
    assert view.reference_level("trivial") == 0.0
    assert view.reference_level("specialist") == pytest.approx(0.9 / 0.91)
    assert view.reference_level("classical") == pytest.approx(0.45 / 0.91)
    assert all(pair == pytest.approx((TRIVIAL, BEST)) for pair in view.returns.values())
    for curve in run.curves:
        np.testing.assert_allclose(curve.score, (curve.returns - TRIVIAL) / (BEST - TRIVIAL))


def test_without_a_specialist_numbers_are_returns(returns: Path) -> None:
    run = read_run(returns)
    assert run.yardstick is RETURNS
    assert all(row.score == row.return_mean for row in run.rows)
    assert target_views(run)[0].reference_level("trivial") == TRIVIAL
    assert all(np.isnan(curve.score).all() for curve in run.curves)


def test_the_page_says_what_its_numbers_are(shares: Path, returns: Path) -> None:
    page = write_report(shares).read_text(encoding="utf-8")
    assert "Evaluated share of the best specialist after n target episodes" in page
    assert "<th>best specialist</th>" in page
    assert "1 the oracle" not in page
    page = write_report(returns).read_text(encoding="utf-8")
    assert "Evaluated return after n target episodes" in page
    assert "they need training curves on targets with an oracle or a specialist" in page


def test_cautions_name_the_yardstick_and_nobody_is_above_the_oracle(shares: Path, returns: Path) -> None:
    for folder, phrase in ((shares, "shares of the best specialist"), (returns, "returns as they are")):
        run = read_run(folder)
        run = replace(run, rows=[*run.rows, replace(run.rows[0], arm="reuse", score=1.5)])
        said = " ".join(cautions(run, target_views(run)))
        assert phrase in said
        assert "above the oracle" not in said
        assert "Missing: oracle" not in said


def test_a_specialist_that_learned_too_little_is_named(make_run: Callable[..., Path], shares: Path) -> None:
    phrase = "better than the best specialist on 8 targets"
    for folder, said in ((without_oracle(make_run(classical=0.95)), True), (shares, False)):
        run = read_run(folder)
        assert (phrase in " ".join(cautions(run, target_views(run)))) == said


def test_the_expert_is_the_one_that_scores_by_the_oracle_would_choose(
    make_run: Callable[..., Path], shares: Path
) -> None:
    advice, wanted = recommend(shares), recommend(make_run())
    assert advice.expert_id == wanted.expert_id
    assert advice.score.value == pytest.approx(10.0 + 20.0 * wanted.score.value)
    assert "mean return on val" in advice.text
    assert "1 the oracle" not in advice.text
