"""Recorded traces: formats, bad lines, content identity, Parquet and the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.radio import trace_library
from roamrl.envs.radio.trace import BadTraceError, Trace
from roamrl.envs.radio.traces import import_traces, read_traces, write_traces
from roamrl.envs.slicing import SLICING

RECORDINGS = Path(__file__).parents[3] / "shared" / "data"
NR_HEADER = "Timestamp,Speed,NetworkMode,RSRP,SNR,CQI,State"


def write_vr(path: Path, frames: list[str], header: tuple[str, ...] = ("# Application: Own",)) -> Path:
    path.write_text("\n".join([*header, *frames]) + "\n")
    return path


def nr_row(second: int, snr: str = "10.0", mode: str = "5G", cqi: str = "9") -> str:
    minutes, seconds = divmod(second, 60)
    return f"2024.02.29_10.{minutes:02d}.{seconds:02d},0,{mode},-90,{snr},{cqi},D"


def write_nr(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join([NR_HEADER, *rows]) + "\n")
    return path


def bad_lines(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(BadTraceError) as caught:
        read_traces(path)
    assert all(bad.file.startswith(str(path)) for bad in caught.value.bad_lines)
    return [(bad.line, bad.reason) for bad in caught.value.bad_lines]


def test_a_vr_file_gives_its_frames_and_rates(tmp_path: Path) -> None:
    (trace,) = read_traces(write_vr(tmp_path / "own.csv", ["1000,0.02", "3000,0.02", "2000,0.01", "500,0"]))
    assert trace.name == "own" and trace.kind == "xr"
    np.testing.assert_array_equal(trace.frame_bytes, [1000, 3000, 2000])
    np.testing.assert_array_equal(trace.gaps_s, [0.02, 0.02, 0.01])
    assert trace.duration_s == pytest.approx(0.05)
    assert trace.mean_rate_mbps == pytest.approx(6000 * 8 / 0.05 / 1e6)
    assert trace.frame_rate_hz == pytest.approx(60.0)


def test_every_bad_vr_line_is_named_with_its_reason(tmp_path: Path) -> None:
    frames = ["1000,0.02", "", "1000", "a,b", "-5,0.02", "10.5,0.02", "10,nan", "10,-1", "10,0", "1000,0.02", "10,0"]
    found = bad_lines(write_vr(tmp_path / "own.csv", frames))
    assert [line for line, _ in found] == [3, 4, 5, 6, 7, 8, 9, 10]
    for (_, reason), word in zip(
        found, ["1 field", "1 field", "numbers", "whole", "whole", "nan", "-1", "0 s"], strict=True
    ):
        assert word in reason


def test_a_vr_file_cut_short_is_refused(tmp_path: Path) -> None:
    header = ("# Application: Own", "# Trace duration: 10.0 s")
    assert bad_lines(write_vr(tmp_path / "own.csv", ["1000,0.02"] * 50, header))[0][0] == 2
    assert len(read_traces(write_vr(tmp_path / "own.csv", ["1000,0.02"] * 500, header))[0]) == 500


def test_5g_rows_become_one_sample_a_second(tmp_path: Path) -> None:
    rows = [nr_row(0, "4"), nr_row(0, "6"), nr_row(1, "7"), nr_row(4, "10"), *(nr_row(5 + i, "12") for i in range(8))]
    (trace,) = read_traces(write_nr(tmp_path / "phone.csv", rows))
    assert trace.kind == "snr" and trace.period_s == 1.0
    np.testing.assert_allclose(trace.snr_db, [5, 7, 8, 9, 10, *[12] * 8])


def test_only_5g_rows_with_snr_and_cqi_count_and_long_absences_are_cut_out(tmp_path: Path) -> None:
    rows = [nr_row(i, "5") for i in range(6)]
    rows += [nr_row(6, "30", mode="LTE"), nr_row(7, "30", cqi="-"), nr_row(8, "-")]
    rows += [nr_row(200 + i, "20") for i in range(6)]
    (trace,) = read_traces(write_nr(tmp_path / "phone.csv", rows))
    np.testing.assert_allclose(trace.snr_db, [5] * 6 + [20] * 6)


def test_every_bad_5g_line_is_named_with_its_reason(tmp_path: Path) -> None:
    good = [nr_row(i) for i in range(12)]
    wrong = [
        nr_row(13, "x"),
        nr_row(14, cqi="16"),
        nr_row(15, "inf"),
        "2024.13.40_10.00.20,0,5G,-90,1,1,D",
        nr_row(2),
        "a,b",
    ]
    found = bad_lines(write_nr(tmp_path / "phone.csv", good + wrong))
    assert [line for line, _ in found] == [14, 15, 16, 17, 18, 19]
    words = ["SNR", "CQI", "SNR", "timestamp", "back", "2 fields"]
    assert [word for (_, reason), word in zip(found, words, strict=True) if word not in reason] == []


def test_a_clock_set_back_by_a_second_stands_still(tmp_path: Path) -> None:
    rows = [nr_row(i, "5") for i in range(11)] + [nr_row(9, "7")] + [nr_row(11, "5")]
    (trace,) = read_traces(write_nr(tmp_path / "phone.csv", rows))
    np.testing.assert_allclose(trace.snr_db, [5] * 10 + [6, 5])


def test_import_writes_nothing_unless_all_is_well_or_told_to_skip(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_vr(folder / "good.csv", ["1000,0.02"] * 5)
    write_vr(folder / "bad.csv", ["1000,0.02", "oops,1", "1000,0.03"])
    (folder / "other.csv").write_text("hello\nworld\n")
    out = tmp_path / "out" / "traces.parquet"
    with pytest.raises(BadTraceError, match=r"bad\.csv:3: "):
        import_traces(folder, out)
    assert not out.exists()
    report = import_traces(folder, out, skip_bad_lines=True)
    assert [(Path(bad.file).name, bad.line) for bad in report.bad_lines] == [("bad.csv", 3), ("other.csv", 1)]
    assert [trace.name for trace in read_traces(out)] == ["bad", "good"]
    assert [entry.name for entry in out.parent.iterdir()] == ["traces.parquet"]


def test_a_phone_never_on_5g_is_reported_and_not_an_error(tmp_path: Path) -> None:
    write_nr(tmp_path / "lte.csv", [nr_row(i, mode="LTE") for i in range(20)])
    write_nr(tmp_path / "nr.csv", [nr_row(i) for i in range(20)])
    report = import_traces(tmp_path, tmp_path / "traces.parquet")
    assert [trace.name for trace in report.traces] == ["nr"]
    assert Path(report.unused[0][0]).name == "lte.csv"


def test_identity_is_content_not_name_and_survives_parquet(tmp_path: Path) -> None:
    first = Trace("a", "xr", frame_bytes=np.array([1, 2]), gaps_s=np.array([0.1, 0.2]))
    renamed = Trace("b", "xr", frame_bytes=np.array([1, 2]), gaps_s=np.array([0.1, 0.2]))
    other = Trace("a", "xr", frame_bytes=np.array([1, 2]), gaps_s=np.array([0.1, np.nextafter(0.2, 1)]))
    radio = Trace("r", "snr", snr_db=np.array([1.5, -2.0]), period_s=1.0)
    slower = Trace("r", "snr", snr_db=np.array([1.5, -2.0]), period_s=2.0)
    assert first.sha256 == renamed.sha256 != other.sha256
    assert radio.sha256 != slower.sha256
    write_traces(tmp_path / "t.parquet", [first, radio])
    again = read_traces(tmp_path / "t.parquet")
    assert [trace.reference for trace in again] == [first.reference, radio.reference]
    np.testing.assert_array_equal(again[0].gaps_s, first.gaps_s)


def test_a_parquet_file_whose_content_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_traces(path, [Trace("r", "snr", snr_db=np.array([1.5, -2.0]), period_s=1.0)])
    table = pyarrow.parquet.read_table(path).to_pylist()
    table[0]["snr_db"][0] = 9.0
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
    with pytest.raises(InputError, match="content hash"):
        read_traces(path)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="no Parquet file of traces"):
        read_traces(path)


def test_the_library_resolves_names_and_looks_up_hashes(tmp_path: Path) -> None:
    write_vr(tmp_path / "walk_20mbps.csv", ["1234,0.02"] * 5)
    collection = trace_library.open_traces(tmp_path)
    assert trace_library.open_traces(tmp_path) is collection
    reference = collection.resolve("walk_20mbps")
    assert trace_library.resolve("walk_20mbps") == reference
    assert trace_library.lookup(reference).frame_bytes[0] == 1234
    with pytest.raises(InputError, match="did you mean 'walk_20mbps'"):
        collection.resolve("walk_20mpbs")
    with pytest.raises(InputError, match="open the recordings"):
        trace_library.lookup("sha256:" + "0" * 64)
    assert trace_library.lookup(reference, "xr").kind == "xr"
    with pytest.raises(InputError, match="kind 'snr' is needed"):
        trace_library.lookup(reference, "snr")
    write_vr(tmp_path / "walk_20mbps.csv", ["4321,0.02"] * 6)
    assert trace_library.open_traces(tmp_path).resolve("walk_20mbps") != reference


def test_a_task_that_replays_a_trace_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    write_vr(tmp_path / "frames.csv", ["1234,0.02"] * 5)
    write_nr(tmp_path / "phone.csv", [nr_row(i) for i in range(12)])
    library = trace_library.open_traces(tmp_path)
    frames, phone = library.resolve("frames"), library.resolve("phone")
    SLICING.make_vec([SLICING.task({"xr_trace": frames, "snr_trace": phone})], 1).close()
    for wrong in ({"xr_trace": phone}, {"snr_trace": frames}):
        with pytest.raises(InputError, match="is needed here"):
            SLICING.make_vec([SLICING.task(wrong)], 1)


def test_two_different_traces_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder, size in (("x", 10), ("y", 20)):
        (tmp_path / folder).mkdir()
        write_vr(tmp_path / folder / "same.csv", [f"{size},0.02"] * 3)
    with pytest.raises(InputError, match="'same'"):
        read_traces(tmp_path)
    with pytest.raises(InputError, match="no traces at"):
        read_traces(tmp_path / "nowhere")


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not on this machine")
def test_the_recorded_traces_import_and_have_their_stated_rates(tmp_path: Path) -> None:
    report = import_traces(RECORDINGS, tmp_path / "traces.parquet")
    assert len(report.traces) == 83 and len(report.unused) == 1 and not report.bad_lines
    collection = trace_library.open_traces(tmp_path / "traces.parquet")
    assert len(collection.names("xr")) == 30
    for path in (RECORDINGS / "vr-traces").glob("*.csv"):
        stated = next(line.split()[-2] for line in path.read_text().splitlines() if "Average throughput" in line)
        trace = collection.get(path.stem)
        assert trace.mean_rate_mbps == pytest.approx(float(stated), rel=0.005)
        assert trace.frame_rate_hz == pytest.approx(float(path.stem.split("_")[-1][:-3]), rel=0.05)
