"""One command at a time in a folder; the lock goes with its process."""

from __future__ import annotations

import errno
import fcntl
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.study.folder_lock import LOCK_FILE, alone_in, empty, is_empty
from roamrl.platform.study.load import load_study
from roamrl.platform.study.run import run_study
from roamrl.platform.sweep.run import run_sweep

HOLDER = """
import sys, time
from pathlib import Path
from roamrl.platform.study.folder_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process at work in ``tmp_path / "run"``."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_second_command_is_told_of_the_first(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"another command is at work in .*run \(process {holder.pid} on .*--out"):
        run_study(load_study("quick"), out=tmp_path / "run", store=str(tmp_path / "store"))
    study = load_study("cartpole", ["search={arm: joint, space: {pretrain.lr: {loguniform: [0.001, 0.01]}}}"])
    with pytest.raises(InputError, match=f"process {holder.pid}"):
        run_sweep(study, out=tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == [LOCK_FILE] and not (tmp_path / "store").exists()


def test_the_lock_goes_with_its_process(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    with alone_in(tmp_path / "run"), pytest.raises(InputError, match="at work"), alone_in(tmp_path / "run"):
        pass
    with alone_in(tmp_path / "run"):
        pass


def test_a_folder_that_is_replaced_stays_locked(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    with alone_in(tmp_path / "run"):
        (tmp_path / "run" / "units").mkdir()
        (tmp_path / "run" / "units" / "part").write_text("x")
        (tmp_path / "run" / "study.yaml").write_text("x")
        (tmp_path / "run" / "link").symlink_to(tmp_path / "kept")
        assert not is_empty(tmp_path / "run")
        empty(tmp_path / "run")
        assert is_empty(tmp_path / "run")
        with pytest.raises(InputError, match="at work"), alone_in(tmp_path / "run"):
            pass
    assert (tmp_path / "kept" / "file").exists()


def test_where_there_are_no_locks_a_warning_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), alone_in(tmp_path / "run"):
        assert "cannot be locked (No locks available)" in caplog.text
