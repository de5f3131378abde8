"""The studies that the documentation shows can be read, and what it quotes of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from roamrl.envs.family import get_family
from roamrl.platform.study.load import load_study
from roamrl.platform.study.tasks import study_splits

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = DOCS / "bring-your-own-environment.md"


def quoted(make: str) -> dict:
    """Return the config that the page shows for an environment."""
    blocks = re.findall(r"(?:^    .*\n)+", PAGE.read_text(encoding="utf-8"), re.M)
    shown = [yaml.safe_load(block) for block in blocks if "config:\n" in block]
    (found,) = (block["config"] for block in shown if block["config"]["make"] == make)
    return found


@pytest.mark.parametrize("study", ["cartpole", str(DOCS / "mobile-env" / "study.yaml")])
def test_the_page_quotes_configs_that_mean_what_the_studies_say(monkeypatch: pytest.MonkeyPatch, study: str) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "mobile-env"))
    loaded = load_study(study)
    family = get_family(loaded.family)
    mine, page = family.config(loaded.config), family.config(quoted(str(loaded.config["make"])))
    for config in (mine, page):
        for row in config["context"].values():
            del row["about"]
    assert mine == page


def test_every_split_of_the_documented_studies_has_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "mobile-env"))
    for name in ("cartpole", str(DOCS / "mobile-env" / "study.yaml")):
        study = load_study(name)
        splits = study_splits(study)
        assert all(splits[split] for split in (*study.targets, study.val, "sources"))
