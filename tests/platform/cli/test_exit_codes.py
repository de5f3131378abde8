from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from roamrl.cluster.errors import ClusterError
from roamrl.envs.errors import InputError
from roamrl.platform.cli.exit_codes import ReportingGroup

SCRIPT = Path(sys.executable).with_name("roamrl")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "quick", "--dry-run", "--set", "adapt.sedes=3"], "adapt.seeds"),
        (["run", "quick", "--dry-run", "--set", "adapt"], "a.b=value"),
        (["run", "nowhere.yaml", "--dry-run"], "nowhere.yaml"),
        (["train", "scratch"], "specialist"),
        (["train", "jiont"], "joint"),
        (["train", "joint", "--config", "prb"], "--config"),
        (["recommend", "nowhere"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["store", "ls", "--store", "nowhere"], "roamrl store init"),
        (["evaluate", "abcd", "--split", "val", "--store", "nowhere"], "nowhere"),
        (["traces", "ls", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_message_and_code_2(
    arguments: list[str], said: str, roamrl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = roamrl(*arguments)
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["rnu"], ["run"], ["run", "quick", "--nonsense"], ["store", "show"]])
def test_a_wrong_command_line_is_code_2(arguments: list[str], roamrl: Callable) -> None:
    answer = roamrl(*arguments)
    assert answer.code == 2
    assert "Usage: roamrl" in answer.err


def test_a_cluster_that_is_not_there_is_code_1(tmp_path: Path) -> None:
    """In a process of its own: this one may be in a Ray session already."""
    command = [str(SCRIPT), "run", "quick", "--address", "127.0.0.1:1"]
    command += ["--out", str(tmp_path / "run"), "--store", str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no Ray cluster listens at 127.0.0.1:1")
    assert "Traceback" not in done.stderr


def failing_app(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=ReportingGroup, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def work() -> None:
        pass

    return app


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no such cell"), 2, "error: no such cell\n"),
        (ClusterError("no such cluster"), 1, "error: no such cluster\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/disk/part"),
            1,
            "error: /disk/part: No space left on device; make room there, and give the same command again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: No space left on device; make room there, and give the same command again\n",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/disk/part"), 1, "error: /disk/part: Permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=["mistake", "cluster", "full disk", "full disk somewhere", "no permission", "interrupted"],
)
def test_each_kind_of_end_has_its_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        failing_app(error)(args=["fail"])
    assert ended.value.code == code
    assert capsys.readouterr().err == said


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        failing_app(ZeroDivisionError())(args=["fail"])


def test_a_connection_that_breaks_off_is_no_closed_output() -> None:
    with pytest.raises(RuntimeError, match="a connection broke off"):
        failing_app(BrokenPipeError(errno.EPIPE, "Broken pipe"))(args=["fail"])


def test_a_reader_that_goes_away_ends_a_command_in_silence() -> None:
    with subprocess.Popen(
        [str(SCRIPT), "families"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(60)) == ("", 1)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    command = [str(SCRIPT), "run", "quick", "--out", str(tmp_path / "run"), "--store", str(tmp_path / "store")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=200)
    assert "units" in first
    assert process.returncode == 130
    assert "goes on where this one stopped" in rest.splitlines()[-1]
    assert "Traceback" not in rest
