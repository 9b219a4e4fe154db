"""Leases that outlive their requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gevent
import pytest
from gevent.event import Event

from gateway.commands import background_commands as module
from gateway.commands.background_commands import BackgroundCommandWatcher
from gateway.errors import ContainerGone, StoreUnavailable


@dataclass(frozen=True)
class FakeLease:
    lease_id: int
    sandbox_id: str = "a1"
    container_id: str = "c1"


class FakeLinks:
    """`quiet` is set while nothing runs."""

    def __init__(self) -> None:
        self.quiet = Event()
        self.asked = 0
        self.gone = False

    @contextmanager
    def using(self, container_id: str, linger_s: float = 0.0) -> Iterator[None]:
        yield

    def get(self, container_id: str) -> FakeLinks:
        if self.gone:
            raise ContainerGone("x")
        return self


class FakeLeases:
    def __init__(self) -> None:
        self.released: list[int] = []
        self.failures = 0

    def lease(self, sandbox_id: str, purpose: str) -> FakeLease:
        return FakeLease(100, sandbox_id)

    def leave_running(self, lease: FakeLease) -> None:
        pass

    def release(self, lease: FakeLease) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("locked")
        self.released.append(lease.lease_id)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> FakeLinks:
    def wait(links: FakeLinks, within_s: float) -> bool:
        links.asked += 1
        return links.quiet.wait(within_s)

    monkeypatch.setattr(module, "wait_until_quiet", wait)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    return FakeLinks()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def watcher(links: FakeLinks, leases: FakeLeases) -> Iterator[BackgroundCommandWatcher]:
    watcher = BackgroundCommandWatcher(links, None, leases)  # type: ignore[arg-type]
    yield watcher
    watcher.close()


def _settle() -> None:
    for _ in range(5):
        gevent.sleep(0)


def test_a_lease_is_kept_until_nothing_runs(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """And then given back."""
    watcher.keep(FakeLease(1))
    _settle()
    assert leases.released == []

    links.quiet.set()
    _settle()
    assert leases.released == [1]


def test_one_lease_per_sandbox_is_enough(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """A thousand commands in the background beside a server that runs for days."""
    for number in range(1000):
        watcher.keep(FakeLease(number))
    watcher.keep(FakeLease(2000, "b2"))
    _settle()

    assert leases.released == list(range(1, 1000))
    links.quiet.set()
    _settle()
    assert sorted(leases.released[999:]) == [0, 2000]


def test_a_command_that_was_left_just_now_counts(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """The sandbox may have been quiet, unheard yet, before that command began."""
    watcher.keep(FakeLease(1))
    _settle()
    links.quiet.set()
    watcher.keep(FakeLease(2))
    links.quiet.clear()
    _settle()

    assert leases.released == [2]
    assert links.asked == 2
    links.quiet.set()
    _settle()
    assert leases.released == [2, 1]


def test_after_the_end_a_new_lease_is_kept_again(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """The watch is not remembered longer than it lasts, however it ends."""
    links.gone = True
    watcher.keep(FakeLease(1))
    _settle()
    assert leases.released == [1]

    links.gone = False
    watcher.keep(FakeLease(2))
    _settle()
    assert leases.released == [1]


def test_housekeeping_watches_no_second_time(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """It finds a sandbox that is kept already."""
    watcher.keep(FakeLease(1))
    watcher.watch("a1")
    _settle()

    assert leases.released == [100]


def test_a_lease_that_cannot_be_given_back_is_tried_again(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """Otherwise the sandbox would never be idle again."""
    leases.failures = 2
    links.quiet.set()

    watcher.keep(FakeLease(1))
    gevent.sleep(0.05)

    assert leases.released == [1]


def test_a_process_that_ends_leaves_its_leases(
    watcher: BackgroundCommandWatcher, links: FakeLinks, leases: FakeLeases
) -> None:
    """Whoever takes over finds them and looks what runs. Given back, the sandbox would be idle
    with a command running in it."""
    watcher.keep(FakeLease(1))
    _settle()

    watcher.close()

    assert leases.released == []
