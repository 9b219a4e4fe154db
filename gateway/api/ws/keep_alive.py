"""All clients of this process: keep-alive, and their end with their sandbox."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Protocol

import gevent
from gevent.pool import Group

from gateway.api.ws.peer import GOING_AWAY, POLICY_VIOLATION, Peer
from gateway.errors import GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.process.change_feed import ChangeFeed
from gateway.process.periodic import PeriodicLoop

log = bounded_log(__name__)

LOOK_S = 0.25
"""How often clients are looked at: whether they are to be pinged, or ask for a paused sandbox."""

STORE_LOOK_S = 1.0
"""How soon is seen what became of a sandbox while its client was coming. Else a change tells."""

SETTLE_S = 0.1
"""How soon clients learn that another process ended their sandbox. A busy store changes always."""

CHECK_S = 1.0
"""How soon clients are closed whose key or token was revoked, or has expired."""


class Sandboxes(Protocol):
    """Knows what has become of sandboxes."""

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, with the boot time since when."""

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        """Those of the sandboxes that were ever restored: how often, and from what the last
        time."""

    def resume_leased(self, sandbox_id: str) -> None:
        """Resume one."""


class Connections:
    """The open WebSockets by sandbox. Owns two greenlets that look after
    them and their sandboxes.

    `lapsed` tells which of some callers may not be here any more: their key or token is not valid
    now.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        ping_interval_s: float,
        feed: ChangeFeed,
        lapsed: Callable[[set[Any]], set[Any]] = lambda _callers: set(),
    ) -> None:
        self._sandboxes = sandboxes
        self._lapsed = lapsed
        self._ping_interval_s = ping_interval_s
        self._by_sandbox: dict[str, set[Peer]] = defaultdict(set)
        self._paused: dict[str, float] = {}
        self._restores: dict[str, int] = {}
        """How often each sandbox was restored, as far as its clients were told."""
        self._due: list[Peer] = []
        """To be looked at in this round of keeping alive."""
        self._at_a_time = 0
        self._next_round = 0.0
        self._resuming = Group()
        self._next_check = 0.0
        self._caretaker = PeriodicLoop("looking after connections", self._take_care, LOOK_S)
        self._observer = PeriodicLoop(
            "looking after the sandboxes of connections",
            self._look_at_sandboxes,
            STORE_LOOK_S,
            feed=feed,
            settle_s=SETTLE_S,
        )

    def start(self) -> None:
        """Begin to look after the connections."""
        self._caretaker.start(first_after_s=LOOK_S)
        self._observer.start()

    @contextmanager
    def registered(self, sandbox_id: str, peer: Peer) -> Iterator[None]:
        """Look after `peer` while inside."""
        self._by_sandbox[sandbox_id].add(peer)
        try:
            self._note_restores(sandbox_id)
            yield
        finally:
            self._by_sandbox[sandbox_id].discard(peer)
            if not self._by_sandbox[sandbox_id]:
                del self._by_sandbox[sandbox_id]
                self._paused.pop(sandbox_id, None)
                self._restores.pop(sandbox_id, None)

    def __len__(self) -> int:
        """How many clients are connected."""
        return sum(len(connections) for connections in self._by_sandbox.values())

    def _all(self) -> list[Peer]:
        return [one for connections in self._by_sandbox.values() for one in connections]

    def _take_care(self) -> None:
        self._resume_whose_clients_wait()
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_S
            self._close_lapsed()
        self._keep_some_alive(now)

    def _keep_some_alive(self, now: float) -> None:
        """All are looked at in half an interval, a few at a time: to ping 5,000 clients at once
        stops everything else for a quarter of a second."""
        round_s = self._ping_interval_s / 2
        if not self._due and now >= self._next_round:
            self._next_round = now + round_s
            self._due = self._all()
            self._at_a_time = ceil(len(self._due) * LOOK_S / round_s)
        for connection in self._due[: self._at_a_time]:
            if connection.connected:
                connection.keep_alive(now=now, interval_s=self._ping_interval_s)
        del self._due[: self._at_a_time]

    def _look_at_sandboxes(self) -> None:
        if not self._by_sandbox:
            return
        self._paused = self._sandboxes.paused_among(set(self._by_sandbox))
        self._tell_of_restores()
        for sandbox_id, reason in self._sandboxes.ended_among(set(self._by_sandbox)).items():
            for connection in list(self._by_sandbox.get(sandbox_id, ())):
                gevent.spawn(connection.end, reason)

    def _note_restores(self, sandbox_id: str) -> None:
        """What the first client of a sandbox comes after: of each later one it is told, also when
        that comes before anybody has looked."""
        if sandbox_id in self._restores:
            return
        try:
            count, _ = self._sandboxes.restored_among({sandbox_id}).get(sandbox_id, (0, ""))
        except GatewayError as error:
            log.info("it is not known how often %s was restored: %s", sandbox_id, error)
        else:
            self._restores.setdefault(sandbox_id, count)

    def _tell_of_restores(self) -> None:
        present = set(self._by_sandbox)
        restored = self._sandboxes.restored_among(present)
        for sandbox_id in present & self._by_sandbox.keys():
            count, snapshot_id = restored.get(sandbox_id, (0, ""))
            if count > self._restores.setdefault(sandbox_id, count):
                self._restores[sandbox_id] = count
                for peer in list(self._by_sandbox.get(sandbox_id, ())):
                    gevent.spawn(peer.tell_restored, snapshot_id)

    def _resume_whose_clients_wait(self) -> None:
        """A client that is connected and asks for something resumes its sandbox: at once where this
        process knows of the pause (`resume`), else when it is seen here."""
        for sandbox_id, since in list(self._paused.items()):
            if any(peer.asked_at > since for peer in self._by_sandbox.get(sandbox_id, ())):
                self._resuming.spawn(self._resume, sandbox_id)

    def resume(self, sandbox_id: str) -> None:
        """A command is about to run: resume its sandbox if that is known to be paused. Raises
        SandboxNotFound, SandboxBusy and the engine's errors."""
        if sandbox_id in self._paused:
            self._sandboxes.resume_leased(sandbox_id)
            self._paused.pop(sandbox_id, None)

    def _resume(self, sandbox_id: str) -> None:
        try:
            self._sandboxes.resume_leased(sandbox_id)
        except GatewayError as error:
            log.warning("cannot resume sandbox %s: %s", sandbox_id, error)

    def _close_lapsed(self) -> None:
        connections = self._all()
        lapsed = self._lapsed({connection.caller for connection in connections})
        for connection in connections:
            if connection.caller in lapsed:
                gevent.spawn(connection.close, POLICY_VIOLATION)

    def close(self) -> None:
        """Send every client its close frame, at once. May be repeated."""
        self._caretaker.close()
        self._observer.close()
        gevent.joinall(
            [gevent.spawn(connection.close, GOING_AWAY) for connection in self._all()], timeout=5
        )
