"""The thread that enters a container's network: nobody is held up by it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import gevent
import gevent.monkey
import pytest

from gateway.link import direct


@pytest.fixture
def slow_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The far end of what the thread connects to, half a second after it was asked to."""
    ours, theirs = socket.socketpair()
    sleep = gevent.monkey.get_original("time", "sleep")

    def connects_late(_container_id: str, _pid: int, _names: tuple[str, ...]) -> int:
        sleep(0.5)
        return theirs.detach()

    monkeypatch.setattr(direct, "_connect_in_namespace", connects_late)
    with ours:
        yield ours
    theirs.close()


def test_whoever_is_interrupted_does_not_wait_for_the_thread(slow_thread: socket.socket) -> None:
    """The kernel may keep the thread for long; a limit on the greenlet must hold all the same."""
    started = time.monotonic()

    with pytest.raises(TimeoutError), gevent.Timeout(0.05, TimeoutError()):
        direct.connect("c", 1, os.getuid())

    assert time.monotonic() - started < 0.3


def test_what_the_thread_opens_for_nobody_is_closed(slow_thread: socket.socket) -> None:
    """Or each interrupted attempt would leave a connection to the agent."""
    with pytest.raises(TimeoutError), gevent.Timeout(0.05, TimeoutError()):
        direct.connect("c", 1, os.getuid())
    gevent.sleep(0.7)

    slow_thread.settimeout(1)
    assert slow_thread.recv(1) == b""
