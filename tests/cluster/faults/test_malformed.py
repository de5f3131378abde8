"""Studies, traces and manifests of any content: read, or refused by a typed error, and never half-written."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roamrl.envs.errors import InputError
from roamrl.envs.radio.trace import Trace
from roamrl.envs.radio.traces import import_traces, read_traces
from roamrl.platform.study.folder import RunFolder
from roamrl.platform.study.load import check_study, load_study
from roamrl.platform.study.schema import Study

STUDY: dict[str, Any] = {
    "name": "mine",
    "family": "slicing-v1",
    "splits": {
        "cells": {"tasks": [{"name": "a", "context": {"load": 1.0, "weights": [0.5, 0.3, 0.2]}}]},
        "val": {"tasks": [{"name": "b", "context": {"load": 1.1}}]},
    },
    "targets": ["cells"],
    "val": "val",
    "arms": {"scratch": {"strategy": "scratch"}, "reuse": {"strategy": "reuse", "sources": "cells"}},
    "adapt": {"episodes": [0, 1, 4], "tune": {"lr": [0.001], "up_to": 4}},
}
VR = "# Application: Own\n" + "\n".join(f"{1000 + 7 * row},0.0166" for row in range(20)) + "\n500,0\n"
NR = "Timestamp,Speed,NetworkMode,RSRP,SNR,CQI,State\n" + "\n".join(
    f"2024.02.29_10.00.{second:02d},0,5G,-90,{10 + second % 3}.0,9,D" for second in range(40)
)
TEXTS = {"study": yaml.safe_dump(STUDY), "vr": VR, "nr": NR}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
OFTEN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw: Any, text: str) -> bytes:
    """A text with some of its bytes replaced, left out or put in, once to thrice, or cut short."""
    content = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=6)) + content[at + draw(st.integers(0, 6)) :]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@st.composite
def changed_study(draw: Any) -> Any:
    """A study with a value somewhere replaced by another, taken away, or given a stranger beside it."""
    study = copy.deepcopy(STUDY)
    place: Any = study
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    what = draw(st.sampled_from(["replace", "remove", "add"]))
    if what == "remove":
        del place[key]
    elif what == "add" and isinstance(place, dict):
        place[draw(st.text(max_size=8))] = draw(VALUES)
    else:
        place[key] = draw(VALUES)
    return study


@OFTEN
@given(changed_study())
def test_any_study_is_one_or_is_refused(study: Any) -> None:
    try:
        read = check_study(study, "a study")
    except InputError as error:
        assert str(error).strip()
    else:
        assert isinstance(read, Study)
        assert check_study(read.model_dump(mode="json"), "again").hash == read.hash


@OFTEN
@given(damaged(TEXTS["study"]))
def test_any_study_file_is_one_or_is_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study.yaml"
        path.write_bytes(content)
        try:
            assert isinstance(load_study(str(path)), Study)
        except InputError as error:
            assert str(error).strip()


@OFTEN
@given(st.sampled_from(["vr", "nr"]).flatmap(lambda kind: damaged(TEXTS[kind])), st.booleans())
def test_any_recording_is_imported_whole_or_refused_without_a_file(content: bytes, skip: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, out = Path(place) / "own.csv", Path(place) / "out" / "own.parquet"
        source.write_bytes(content)
        try:
            report = import_traces(source, out, skip_bad_lines=skip)
        except InputError as error:
            assert str(error).strip() and not out.exists()
        else:
            assert [trace.sha256 for trace in read_traces(out)] == [trace.sha256 for trace in report.traces]
        assert not out.parent.exists() or [path.name for path in out.parent.iterdir()] in ([], ["own.parquet"])


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Trace]]:
    folder = tmp_path_factory.mktemp("traces")
    (folder / "own.csv").write_text(VR)
    import_traces(folder / "own.csv", folder / "own.parquet")
    return (folder / "own.parquet").read_bytes(), read_traces(folder / "own.parquet")


@OFTEN
@given(data=st.data())
def test_a_damaged_parquet_file_of_traces_is_what_it_was_or_refused(
    parquet: tuple[bytes, list[Trace]], data: Any
) -> None:
    sound, traces = parquet
    at = data.draw(st.integers(0, len(sound) - 1))
    cut = data.draw(st.booleans())
    content = sound[:at] if cut else sound[:at] + bytes([sound[at] ^ data.draw(st.integers(1, 255))]) + sound[at + 1 :]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "own.parquet"
        path.write_bytes(content)
        try:
            read = read_traces(path)
        except InputError as error:
            assert str(error).strip()
        else:
            assert [trace.sha256 for trace in read] == [trace.sha256 for trace in traces]


ENTRIES = [{"key": f"{number:064x}", "stage": "adapt", "arm": "scratch", "env_steps": 9} for number in range(3)]


@OFTEN
@given(data=st.data())
def test_a_damaged_line_of_a_runs_manifest_is_no_finished_unit(data: Any) -> None:
    """The other lines stay, and the next unit is added whole."""
    lines = [json.dumps(entry).encode() for entry in ENTRIES]
    which = data.draw(st.integers(0, 2))
    at = data.draw(st.integers(0, len(lines[which]) - 1))
    kept = data.draw(st.integers(at, len(lines[which])))
    filling = data.draw(st.binary(max_size=6).filter(lambda part: not set(part) & set(b"\r\n")))
    lines[which] = lines[which][:at] + filling + lines[which][kept:]
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        (folder.path / "manifest.jsonl").write_bytes(b"\n".join(lines) + b"\n" * data.draw(st.integers(0, 1)))
        known = folder.finished()
        others = {entry["key"]: entry for number, entry in enumerate(ENTRIES) if number != which}
        assert others.items() <= known.items() and len(known) <= 3
        folder.finish("f" * 64, {"stage": "adapt"})
        assert folder.finished()["f" * 64] == {"key": "f" * 64, "stage": "adapt"}
        assert others.items() <= folder.finished().items()
