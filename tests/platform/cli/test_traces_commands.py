from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.envs.radio.traces import read_traces

HEADER = "# mc\n# Frame rate: 30\n# Data rate: 10\n"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, octets in (("mc_10mbps_30fps", 40_000), ("mc_20mbps_30fps", 80_000)):
        lines = "".join(f"{octets + frame},0.0333\n" for frame in range(300))
        (folder / f"{name}.csv").write_text(HEADER + lines, encoding="utf-8")
    return folder


def test_import_writes_the_recordings_and_ends_with_the_file(
    roamrl: Callable, recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "traces.parquet"
    answer = roamrl("traces", "import", recordings, "--out", out)
    assert answer.code == 0, answer.err
    assert answer.lines[-1] == str(out)
    assert {trace.name: len(trace) for trace in read_traces(out)} == {"mc_10mbps_30fps": 300, "mc_20mbps_30fps": 300}
    assert max(len(line) for line in answer.lines[:-1]) <= 80


def test_a_bad_line_is_named_with_file_and_number(roamrl: Callable, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "mc_10mbps_30fps.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[9] = "-5,0.0333"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "traces.parquet"
    answer = roamrl("traces", "import", recordings, "--out", out)
    assert answer.code == 2
    assert "mc_10mbps_30fps.csv" in answer.err
    assert "10" in answer.err.split("mc_10mbps_30fps.csv", 1)[1][:20]
    assert not out.exists()

    lenient = roamrl("traces", "import", recordings, "--out", out, "--skip-bad-lines")
    assert lenient.code == 0
    assert "mc_10mbps_30fps.csv" in lenient.err
    assert {trace.name: len(trace) for trace in read_traces(out)} == {"mc_10mbps_30fps": 299, "mc_20mbps_30fps": 300}


def test_ls_gives_the_names_by_which_studies_call_them(roamrl: Callable, recordings: Path) -> None:
    answer = roamrl("traces", "ls", recordings)
    assert {"mc_10mbps_30fps", "mc_20mbps_30fps"} <= {line.split()[0] for line in answer.lines if line.split()}
