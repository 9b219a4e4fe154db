"""Who waits hears of each change, from whichever process, at once and without looking again and
again."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest

from gateway.process import change_feed, change_signal
from gateway.process.change_feed import ChangeFeed
from gateway.process.change_signal import ChangeSignal
from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.events import EventStore
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """One process's half of the store, and how often its version is looked at."""

    def __init__(self, directory: Path) -> None:
        self.signal = ChangeSignal(directory / "changes")
        self.database = Database(directory / "gateway.db", tell=self.signal.send)
        self.feed = ChangeFeed(self._version, self.signal)
        self.looks = 0

    def _version(self) -> object:
        self.looks += 1
        return self.database.version()

    def wait(self, within_s: float = 10.0) -> bool:
        """For the next change."""
        return self.feed.wait_after(self.feed.mark, within_s)

    def close(self) -> None:
        self.database.close()
        self.signal.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        made = [Worker(tmp_path) for _ in range(2)]
        for worker in made:
            stack.callback(worker.close)
            worker.wait()  # the first look tells nothing
        yield made


@pytest.mark.parametrize("writer", [0, 1])
def test_a_change_is_heard_of_at_once(workers: list[Worker], writer: int) -> None:
    """Of another process and of this one: long before a look without a signal would be due."""
    waiting = gevent.spawn(workers[0].wait)
    gevent.sleep(0.05)
    started = time.monotonic()

    EventStore(workers[writer].database).note("s", "oom")

    assert waiting.get(timeout=10) is True
    assert time.monotonic() - started < change_feed.UNSIGNALLED_S / 2


def test_what_changes_nothing_is_no_change(workers: list[Worker]) -> None:
    """A compare-and-set that found another state wakes nobody: whoever waits would try again and
    again, each time waking the others."""
    here = workers[0]

    assert not SandboxStore(here.database).claim_pause("nobody", worker_id="w")

    assert not here.wait(0.3)


def test_nobody_looks_while_nothing_changes(workers: list[Worker]) -> None:
    """A hundred that wait cost one look a second."""
    here = workers[0]
    before = here.looks

    waiting = [gevent.spawn(here.wait, 1.5) for _ in range(100)]
    gevent.joinall(waiting, timeout=30)

    assert not any(one.value for one in waiting)
    assert here.looks - before <= 4


def test_a_busy_store_is_not_looked_at_for_each_change(workers: list[Worker]) -> None:
    """Two hundred writes are told in some changes, the last of them included."""
    here, there = workers
    AdmissionStore(there.database).admit(row_of(), Limits(), now=1.0)
    seen: list[int] = []

    def follow() -> None:
        while not seen or seen[-1] < 201:
            mark = here.feed.mark
            seen.append(EventStore(here.database).last_number())
            here.feed.wait_after(mark, 5.0)

    following = gevent.spawn(follow)
    started = time.monotonic()
    for _ in range(201):
        EventStore(there.database).note("s", "oom")
        gevent.sleep(0)
    took_s = time.monotonic() - started
    following.get(timeout=30)

    assert len(seen) <= took_s / change_feed.APART_S + 3


def test_a_change_that_nobody_signals_is_seen_too(workers: list[Worker], tmp_path: Path) -> None:
    """Of an operator's tool, or of a worker that was killed between its commit and the signal."""
    waiting = gevent.spawn(workers[0].wait)
    gevent.sleep(0.05)

    script = (
        "import sys; from gateway.store.database import Database\n"
        "from gateway.store.events import EventStore\n"
        "EventStore(Database(sys.argv[1])).note('s', 'oom')\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "gateway.db"], cwd=ROOT, check=True)

    assert waiting.get(timeout=change_feed.UNSIGNALLED_S * 5) is True


def test_it_works_where_no_more_inotify_is_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may have 128 instances: then changes are looked for."""

    def refuse(_path: Path) -> int:
        raise OSError(errno.EMFILE, "inotify_init1")

    monkeypatch.setattr(change_signal, "_watch", refuse)
    here, there = Worker(tmp_path), Worker(tmp_path)
    here.wait()
    waiting = gevent.spawn(here.wait)
    gevent.sleep(0.05)
    started = time.monotonic()

    EventStore(there.database).note("s", "oom")

    assert waiting.get(timeout=10) is True
    assert time.monotonic() - started < change_feed.UNSIGNALLED_S
    here.close()
    there.close()


def test_closing_frees_its_descriptors(tmp_path: Path) -> None:
    """May be repeated, and a signal after it is none."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    signal = ChangeSignal(tmp_path / "changes")

    signal.close()
    signal.close()
    signal.send()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_notice_that_comes_with_the_end_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends closes the file while greenlets wait, and the kernel has told them already
    that there is something to read."""
    closing = ChangeSignal(tmp_path / "changes")
    monkeypatch.setattr(
        change_signal.gevent_socket, "wait_read", lambda _notices, timeout: closing.close()
    )
    closing.wait(5.0)
    started = time.monotonic()
    closing.wait(0.01)
    assert time.monotonic() - started < 2
