from __future__ import annotations

import json
from collections.abc import Callable

import pytest


def test_families_as_json_give_context_references_and_splits(roamrl: Callable) -> None:
    answer = roamrl("families", "--json")
    assert answer.code == 0
    (slicing,) = [family for family in json.loads(answer.out) if family["id"] == "slicing-v1"]
    load = next(row for row in slicing["context"] if row["name"] == "load")
    assert load["train"] == "U(0.8, 1.2)"
    assert set(slicing["references"].values()) >= {"trivial", "classical", "oracle"}
    assert {"train", "val", "iid", "ood-all"} <= slicing["splits"].keys()


def test_strategies_as_json_give_settings_and_paper(roamrl: Callable) -> None:
    found = {strategy["name"]: strategy for strategy in json.loads(roamrl("strategies", "--json").out)}
    assert {"scratch", "specialist", "joint", "reuse"} <= found.keys()
    assert found["reuse"]["settings"] == {"layers": "all", "frozen_steps": 0}
    assert found["reuse"]["pretrains_on"] == "sources"
    assert all(strategy["paper"] for strategy in found.values())


def test_studies_as_json_give_arms_and_targets(roamrl: Callable) -> None:
    found = {study["name"]: study for study in json.loads(roamrl("studies", "--json").out)}
    assert {"quick", "reuse-traces"} <= found.keys()
    assert "scratch" in found["quick"]["arms"].values()
    assert found["quick"]["targets"] == ["similar", "different"]


@pytest.mark.parametrize(("command", "named"), [("families", "load"), ("strategies", "joint"), ("studies", "quick")])
def test_lists_for_people_fit_80_columns(command: str, named: str, roamrl: Callable) -> None:
    answer = roamrl(command)
    assert answer.code == 0
    assert any(line.split()[0] == named for line in answer.lines if line.split())
    assert max(len(line) for line in answer.lines) <= 80


def test_versions_are_those_installed(roamrl: Callable) -> None:
    versions = json.loads(roamrl("version", "--json").out)
    assert versions["ray"] == "2.60.0"
    assert versions["gymnasium"] == "1.2.2"
    assert f"roamrl     {versions['roamrl']}" in roamrl("version").lines
