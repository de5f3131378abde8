from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ExpertStore, ManifestFields

SPEC = ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(2), {"hidden": [4]})


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, list[str]]:
    folder = tmp_path / "store"
    store = ExpertStore.init(folder)
    ids = []
    for seed, strategy, score in ((0, "joint", 0.6), (1, "reuse", 0.3)):
        fields = ManifestFields(
            family="slicing-v1",
            config={"prb": 51},
            context={"load": 0.8 + seed, "weights": [0.5, 0.5]},
            strategy=strategy,
            study="quick",
            env_steps=1_500_000,
            cpu_s=75.0,
            seed=seed,
            scores={"val": {"mean": score, "low": score - 0.1, "high": score + 0.1, "episodes": 100}},
        )
        ids.append(store.publish(to_bundle(build_module(SPEC, [seed]), 0), fields))
    return folder, ids


def test_a_new_store_is_empty(roamrl: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert roamrl("store", "init", folder).lines == [str(folder)]
    assert roamrl("store", "ls", "--store", folder).lines[-1] == "0 experts"
    assert json.loads(roamrl("store", "ls", "--json", "--store", folder).out) == []
    assert roamrl("store", "verify", "--store", folder).code == 0
    assert roamrl("store", "compact", "--store", folder).lines == ["the store is empty"]


def test_ls_lists_every_expert_within_80_columns(roamrl: Callable, filled: tuple[Path, list[str]]) -> None:
    folder, ids = filled
    answer = roamrl("store", "ls", "--store", folder)
    assert all(any(line.startswith(expert[:12]) for line in answer.lines) for expert in ids)
    assert "1.5 M" in answer.out
    assert max(len(line) for line in answer.lines) <= 80


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--strategy", "joint"], [0]),
        (["--score", "val=0.5"], [0]),
        (["--context", "load=1.5..2"], [1]),
        (["--context", "load=0.8"], [0]),
        (["--study", "quick", "--family", "slicing-v1"], [0, 1]),
        (["--study", "other"], []),
    ],
    ids=str,
)
def test_ls_takes_conditions(
    options: list[str], found: list[int], roamrl: Callable, filled: tuple[Path, list[str]]
) -> None:
    folder, ids = filled
    answer = roamrl("store", "ls", *options, "--json", "--store", folder)
    assert {entry["id"] for entry in json.loads(answer.out)} == {ids[place] for place in found}


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--score", "val"], "SPLIT=X"), (["--context", "load"], "name=value"), (["--context", "laod=1"], "load")],
)
def test_ls_refuses_conditions_it_does_not_understand(
    options: list[str], said: str, roamrl: Callable, filled: tuple[Path, list[str]]
) -> None:
    answer = roamrl("store", "ls", *options, "--store", filled[0])
    assert answer.code == 2
    assert said in answer.err


def test_tags_name_experts(roamrl: Callable, filled: tuple[Path, list[str]]) -> None:
    folder, ids = filled
    assert roamrl("store", "tag", "best", ids[0][:8], "--store", folder).code == 0
    shown = roamrl("store", "show", "best", "--store", folder)
    assert shown.lines[0].split() == ["expert", ids[0]]
    assert shown.lines[1].split() == ["tags", "best"]
    assert "0.600" in shown.out
    assert json.loads(roamrl("store", "show", "best", "--json", "--store", folder).out)["manifest"]["seed"] == 0


def test_a_retracted_expert_is_gone_and_gc_frees_its_weights(roamrl: Callable, filled: tuple[Path, list[str]]) -> None:
    folder, ids = filled
    assert roamrl("store", "rm", ids[1], "--reason", "trained on the wrong cell", "--store", folder).code == 0
    assert [entry["id"] for entry in json.loads(roamrl("store", "ls", "--json", "--store", folder).out)] == [ids[0]]
    assert roamrl("store", "show", ids[1], "--store", folder).code == 2
    blobs = len(list((folder / "blobs").rglob("*")))
    assert roamrl("store", "gc", "--grace", 48, "--store", folder).out.startswith("removed 0 weight files (0 B)")
    assert len(list((folder / "blobs").rglob("*"))) == blobs


def test_verify_names_a_changed_file_and_fails(roamrl: Callable, filled: tuple[Path, list[str]]) -> None:
    folder, _ = filled
    blob = next(path for path in (folder / "blobs").rglob("*") if path.is_file())
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(bytes(data))
    answer = roamrl("store", "verify", "--store", folder)
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 1
    assert "nothing is wrong" not in answer.out


def test_the_store_can_be_named_by_a_variable(
    roamrl: Callable, filled: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROAMRL_STORE", str(filled[0]))
    assert roamrl("store", "ls").lines[-1] == "2 experts"
