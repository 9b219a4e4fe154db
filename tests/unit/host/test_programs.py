"""Programs of the host: what they print, how they end, and that they do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

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


class SlowToLoad:
    """The C library, in which programs are loaded from a busy disk."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.began = False
        self.pid = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def posix_spawn(self, pid: Any, *arguments: Any) -> int:
        self.began = True
        self._library.usleep(300_000)
        error: int = self._library.posix_spawn(pid, *arguments)
        self.pid = pid._obj.value
        return error


@pytest.fixture(name="library")
def slow_library(monkeypatch: pytest.MonkeyPatch) -> SlowToLoad:
    library = SlowToLoad(programs._libc)
    monkeypatch.setattr(programs, "_libc", library)
    return library


def _let_others_run_until(has_come: Callable[[], bool]) -> None:
    with gevent.Timeout(10):
        while not has_come():
            gevent.sleep(0.01)


def test_others_go_on_while_a_program_is_loaded(library: SlowToLoad) -> None:
    """A worker has one thread for all its clients."""
    running = gevent.spawn(programs.run, ["echo", "loaded"])
    _let_others_run_until(lambda: library.began)
    looks = 0
    while not library.pid:
        gevent.sleep(0.01)
        looks += 1

    assert looks > 5
    assert running.get(timeout=10) == "loaded\n"


def test_a_program_that_nobody_waits_for_while_it_is_loaded_does_not_stay(
    library: SlowToLoad,
) -> None:
    """Its streams are still its own until then."""
    running = gevent.spawn(programs.run, ["sleep", "600"])
    _let_others_run_until(lambda: library.began)
    running.kill()

    _let_others_run_until(lambda: library.pid != 0)
    _let_others_run_until(lambda: not psutil.pid_exists(library.pid))
