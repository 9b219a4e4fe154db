"""Programs of the host: what they print, how they end, and that they do."""

from __future__ import annotations

import subprocess
import sys
import time

import gevent
import psutil
import pytest

from gateway.host import programs


def test_a_program_that_takes_too_long_is_killed_and_reaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bounded time, and without a zombie."""
    monkeypatch.setattr(programs, "LIMIT_S", 0.2)
    before = set(psutil.Process().children())
    started = time.monotonic()

    with pytest.raises(programs.TookTooLong, match="sleep took longer"):
        programs.run(["sleep", "60"])

    assert time.monotonic() - started < 5
    assert set(psutil.Process().children()) == before


def test_one_that_does_not_die_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel may hold a killed program in a call. The worker goes on, and it is reaped when it
    does end: here it gets a signal that it survives for a while."""
    monkeypatch.setattr(programs, "LIMIT_S", 0.5)
    monkeypatch.setattr(programs, "_DEATH_LIMIT_S", 0.2)
    monkeypatch.setattr(programs.signal, "SIGKILL", programs.signal.SIGTERM)
    before = set(psutil.Process().children())
    started = time.monotonic()

    with pytest.raises(programs.TookTooLong, match="sh took longer"):
        programs.run(["sh", "-c", "trap 'sleep 1.5; exit' TERM; while :; do sleep 0.05; done"])

    assert time.monotonic() - started < 1.5
    assert "does not die" in caplog.text
    gevent.sleep(3.5)
    assert set(psutil.Process().children()) == before


def test_the_end_of_a_program_is_not_left_to_gevents_event_loop() -> None:
    """In a worker, where all is patched, gevent would watch each child by itself, and now and then
    miss its end."""
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from gevent import os as patched\n"
        "from gateway.host import programs\n"
        "programs.run(['true'])\n"
        "assert patched._watched_children == {}, patched._watched_children\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
