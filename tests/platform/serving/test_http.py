"""The service over HTTP, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.serving.request_body import MOST_BYTES
from roamrl.platform.serving.running import _free_port
from roamrl.platform.store.store import ExpertStore

SCRIPT = Path(sys.executable).with_name("roamrl")
START_S = 240


def call(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def children(process: subprocess.Popen) -> list[int]:
    """The process itself and all below it."""
    found = [process.pid]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_serve_answers_measures_itself_and_leaves_nothing_behind(
    store: ExpertStore, publish: Callable, tmp_path: Path
) -> None:
    plain, memory = publish("plain", "memory")
    command = [str(SCRIPT), "serve", "plain", memory.id[:10], "--port", "0", "--store", store.location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/experts/plain/act", lines[0])[1])
        started = children(process)
        assert call(port, "GET", "/health") == (200, {"status": "ok", "experts": 2})
        status, answer = call(port, "POST", "/experts/plain/act", b'{"observation": [1, 2, 0.5]}')
        assert (status, answer["action"]) == (200, plain.act([1, 2, 0.5]))
        status, answer = call(port, "POST", f"/experts/{memory.id}/act", b'{"observation": [[1, 2, 0.5]]}')
        assert status == 200 and len(answer["state"]["memory"][0]) == 4
        assert call(port, "POST", "/experts/plain/act", b"{}")[0] == 422
        status, answer = call(port, "POST", "/experts/plain/act", b" " * (MOST_BYTES + 1))
        assert status == 413 and "smaller batches" in answer["error"]
        metrics = re.search(r"http://\S+/metrics", "".join(lines))[0]
        wanted = [f'ray_roamrl_requests.*expert="{plain.id[:12]}".*status="{status}".* 1.0' for status in (200, 422)]
        wanted.append(f'ray_roamrl_request_ms_bucket.*expert="{memory.id[:12]}"')
        deadline = time.monotonic() + START_S
        while not all(re.search(pattern, text := urlopen(metrics).read().decode()) for pattern in wanted):
            assert time.monotonic() < deadline, text
            time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=START_S)
        assert (process.returncode, out, err) == (0, "stopped\n", "")
    assert [
        pid for pid in started if os.path.exists(f"/proc/{pid}") and "ray" in Path(f"/proc/{pid}/comm").read_text()
    ] == []


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port} .*--port"):
            _free_port("127.0.0.1", port)
    assert _free_port("127.0.0.1", 0) > 0
    with pytest.raises(InputError, match="cannot listen"):
        _free_port("no-such-host.invalid", 0)
