"""When clients are pinged: all of them in time, and never all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import pytest

from gateway.api.ws import keep_alive as module
from gateway.api.ws.keep_alive import Connections
from gateway.errors import StoreUnavailable
from tests.support.change_feeds import quiet_feed


class NoSandboxes:
    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        return {}

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        return {}

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        return {}

    def resume_leased(self, sandbox_id: str) -> None:
        raise AssertionError("nothing is paused")


class FakePeer:
    caller = None
    asked_at = 0.0

    def __init__(self, log: list[tuple[float, FakePeer]]) -> None:
        self.connected = True
        self._log = log

    def keep_alive(self, *, now: float, interval_s: float) -> None:
        self._log.append((now, self))

    def close(self, code: int) -> None:
        self.connected = False


@pytest.fixture
def log() -> list[tuple[float, FakePeer]]:
    return []


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    made = Connections(NoSandboxes(), ping_interval_s=0.4, feed=quiet_feed())
    made.start()
    yield made
    made.close()


def test_many_clients_are_looked_at_a_few_at_a_time(
    connections: Connections, log: list[tuple[float, FakePeer]]
) -> None:
    """Twenty looks in half an interval: each of 200 clients once, in portions of about ten."""
    with ExitStack() as held:
        peers = [FakePeer(log) for _ in range(200)]
        for number, peer in enumerate(peers):
            held.enter_context(connections.registered(str(number % 7), peer))  # type: ignore[arg-type]
        gevent.sleep(1.5)

    at: dict[float, int] = {}
    for now, _peer in log:
        at[now] = at.get(now, 0) + 1
    assert max(at.values()) <= 11
    for peer in peers:
        assert sum(one is peer for _now, one in log) >= 2


def test_one_who_has_gone_meanwhile_is_left_alone(
    connections: Connections, log: list[tuple[float, FakePeer]]
) -> None:
    with ExitStack() as held:
        peers = [FakePeer(log) for _ in range(20)]
        for peer in peers:
            held.enter_context(connections.registered("a", peer))  # type: ignore[arg-type]
        gevent.sleep(0.02)
        seen = len(log)
        for peer in peers:
            peer.connected = False
        gevent.sleep(0.5)
    assert len(log) - seen <= 2


class Restored(NoSandboxes):
    """One that was restored so many times."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.is_away = False

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        if self.is_away:
            raise StoreUnavailable("on purpose")
        return {one: (self.count, f"s{self.count}") for one in sandbox_ids if self.count}


class RestoredPeer(FakePeer):
    def __init__(self) -> None:
        super().__init__([])
        self.told: list[str] = []

    def tell_restored(self, snapshot_id: str) -> None:
        self.told.append(snapshot_id)


@pytest.mark.parametrize("before", [0, 3])
def test_a_client_is_told_of_a_restore_that_comes_before_the_first_look(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """And of none that was before it came. A store that is away keeps nobody from coming."""
    monkeypatch.setattr(module, "STORE_LOOK_S", 0.02)
    sandboxes, early, late = Restored(before), RestoredPeer(), RestoredPeer()
    connections = Connections(sandboxes, ping_interval_s=10, feed=quiet_feed())
    with connections.registered("a", early):  # type: ignore[arg-type]
        sandboxes.count += 1
        connections.start()
        with gevent.Timeout(5):
            while not early.told:
                gevent.sleep(0.01)
        sandboxes.is_away = True
        with connections.registered("b", late):  # type: ignore[arg-type]
            sandboxes.is_away = False
            gevent.sleep(0.1)
    connections.close()

    assert early.told == [f"s{before + 1}"]
    assert late.told == []
