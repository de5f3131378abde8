"""A head that falls silent is told of once, and again only after it came back; one that answers never."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from roamrl.cluster.head_watch import watched_head


def waited_for(caplog: pytest.LogCaptureFixture, warnings: int) -> bool:
    until = time.monotonic() + 30
    while len(caplog.records) < warnings and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.2)
    return len(caplog.records) == warnings


def listening(port: int = 0) -> socket.socket:
    server = socket.create_server(("127.0.0.1", port))
    server.listen(128)
    return server


@pytest.mark.timeout(120)
def test_each_silence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "roamrl.cluster.head_watch")
    head = listening()
    port = head.getsockname()[1]
    with watched_head(f"127.0.0.1:{port}", 0.02, 0.1):
        assert waited_for(caplog, 0)
        head.close()
        assert waited_for(caplog, 1)
        with listening(port):
            assert waited_for(caplog, 1)
        assert waited_for(caplog, 2)
    assert f"127.0.0.1:{port} has not answered" in caplog.records[0].getMessage()


def test_nothing_is_told_after_the_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "roamrl.cluster.head_watch")
    head = listening()
    with watched_head(f"127.0.0.1:{head.getsockname()[1]}", 0.02, 0.05):
        pass
    head.close()
    assert waited_for(caplog, 0)
