"""The page: whole, self-contained, the same for the same run, and its numbers those of the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.page import write_report

MakeRun = Callable[..., Path]
VOID = {"meta", "br", "link", "img", "use", "path", "rect"}


class Page(HTMLParser):
    """Collects ids, references, table rows and headings, and checks that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.references.append(value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += " ".join(data.split(" ")).strip("\n")


@pytest.fixture(scope="module")
def small(make_run: MakeRun) -> Path:
    """Few runs and points, so that drawing is quick."""
    return make_run(seeds=3, splits={"similar": 2, "different": 2})


@pytest.fixture(scope="module")
def text(small: Path) -> str:
    return write_report(small).read_text(encoding="utf-8")


def test_the_page_stands_alone_and_is_well_formed(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    outside = re.findall(r"(?:https?:)?//[^\s\"'<>)]+", text)
    assert {found for found in outside if "www.w3.org" not in found} == set()
    assert text.count("<svg") == 8


def test_the_tutorials_two_figures_come_first(small: Path, text: str) -> None:
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert titles[:2] == ["Convergence: similar targets", "Convergence: different targets"]
    folder = small / "report"
    for kind in ("convergence", "adaptation", "negative", "profiles"):
        for split in ("similar", "different"):
            assert (folder / f"{kind}-{split}.svg").read_text(encoding="utf-8").startswith("<?xml")
            assert (folder / f"{kind}-{split}.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_on_the_page_are_those_of_the_truth(text: str) -> None:
    rows = [row for row in Page(text).rows if row]
    reuse = next(row for row in rows if row[0] == "reuse" and len(row) == 9 and row[1] == "6")
    assert reuse[2].startswith("0.60 [")
    assert reuse[3].startswith("0.72 [")
    assert reuse[6].startswith("0.85 [")
    target = next(row for row in rows if row[0] == "different-0")
    assert target == ["different-0", "10.00", "30.00", "0.45", "0.90", "0.70", "0.75", "0.40", "0.70"]
    cost = next(row for row in rows if row[0] == "joint" and len(row) == 13)
    assert cost[3:8] == [
        "\N{EN DASH}",
        "2\u202f000\u202f000",
        "2\u202f000\u202f000",
        "100\u202f000",
        "2\u202f100\u202f000",
    ]


def test_the_same_run_gives_the_same_page_byte_for_byte(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, splits={"similar": 1}, curves=False)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_both_protocols_have_their_curves(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, splits={"similar": 1}, tunings=("fixed", "per-n"))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "With step sizes fixed once on the validation split" in text
    assert "With step sizes chosen for each number of episodes" in text
    assert (folder / "report" / "adaptation-similar-per-n.svg").exists()


def test_a_run_with_one_seed_and_no_curves_has_a_page(make_run: MakeRun) -> None:
    folder = make_run(seeds=1, splits={"similar": 1}, curves=False, specialist=None, points=(0, 5))
    text = Page(write_report(folder).read_text(encoding="utf-8")).text
    assert "Intervals are not available" in text
    assert "No training curves were recorded." in text
    assert "Not available: they need training curves" in text


def test_a_run_in_which_nothing_reached_a_target_has_a_page(make_run: MakeRun) -> None:
    failure = {"unit": "adapt/scratch/01234567", "stage": "adapt", "error": "<b>ActorDiedError</b> & more"}
    folder = make_run(arms={}, seeds=1, failures=(failure,))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "No arm has results on any target" in text
    assert "&lt;b&gt;ActorDiedError&lt;/b&gt; &amp; more" in text


def test_an_arm_that_never_adapts_is_shown_at_zero_episodes(make_run: MakeRun, arm_truth: Any) -> None:
    import pyarrow.parquet as pq

    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70)}),
        "fixed-policy": arm_truth("robust", {"similar": (0.0, 0.0)}, experts=3),
    }
    folder = make_run(arms=arms, splits={"similar": 1}, seeds=2, curves=False)
    table = pq.read_table(folder / "results.parquet")
    rows = [row for row in table.to_pylist() if (row["arm"], row["stage"]) != ("fixed-policy", "adapt")]
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    rows_shown = Page(write_report(folder).read_text(encoding="utf-8")).rows
    row = next(row for row in rows_shown if row and row[0] == "fixed-policy" and len(row) == 9)
    assert row[1] == "3"
    assert row[2].startswith("0.55 [")
    assert (row[3], row[6]) == ("\N{EN DASH}", "\N{EN DASH}")


def test_a_page_of_some_arms_leaves_the_others_out(small: Path, tmp_path: Path) -> None:
    page = write_report(small, ["scratch", "reuse"], tmp_path / "part")
    assert page == tmp_path / "part" / "index.html"
    heads = {row[0] for row in Page(page.read_text(encoding="utf-8")).rows}
    assert {"scratch", "reuse"} <= heads
    assert "reuse-trunk" not in heads
    assert "reuse-trunk" in {row[0] for row in Page(write_report(small).read_text(encoding="utf-8")).rows}
    with pytest.raises(InputError, match="did you mean 'reuse'"):
        write_report(small, ["reus"], tmp_path / "part")
