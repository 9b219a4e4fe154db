"""How many connections there may be, and whose: of one client, of strangers, and of all.

A stranger costs nothing but a connection and needs no key for it. So who has not been let in yet
shares a tenth of the places with all other strangers, and when those are taken, the connection that
has waited longest, of the address that has most of them, makes room for the next. Whoever comes
with a request is served at once and never waits for a place.
"""

from __future__ import annotations

import resource
import socket as sockets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.errors import TooManyConnections

STRANGERS = 0.1
"""Share of all places that is for those who have not been let in."""

ONE_CLIENT = 0.8
"""Share of the other places that one client may have, where the operator says nothing."""


@dataclass(eq=False)
class Held:
    """One connection. `client` is who holds it: an address, until the guard knows better."""

    socket: Any
    client: str
    is_known: bool = False
    is_busy: bool = False
    """In the middle of a request; a WebSocket all the time."""


class ClientConnections:
    """The connections of one worker; for its hub's thread only."""

    def __init__(self, most: int, most_per_client: int = 0) -> None:
        self.most_strangers = max(1, int(most * STRANGERS))
        self.most_known = most - self.most_strangers
        self.most_per_client = most_per_client or max(1, int(self.most_known * ONE_CLIENT))
        self._by_socket: dict[Any, Held] = {}
        self._strangers: dict[str, dict[Held, None]] = {}
        self._known: dict[str, dict[Held, None]] = {}

    def enter(self, socket: Any, address: str) -> Held:
        """Take a new connection in, at the cost of a stranger's if need be."""
        if _count(self._strangers) >= self.most_strangers:
            self._evict(self._strangers, lambda _held: True)
        held = Held(socket, address)
        self._by_socket[socket] = held
        self._strangers.setdefault(address, {})[held] = None
        return held

    def know(self, socket: Any, client: str) -> None:
        """The guard has let in whoever is at the other end. Raises TooManyConnections; an idle
        connection of the same client makes room first."""
        held = self._by_socket.get(socket)
        if held is None or (held.is_known and held.client == client):
            return
        self._take_out(held)
        own = {client: self._known.get(client, {})}
        try:
            if len(own[client]) >= self.most_per_client and not self._evict(own, _is_idle):
                raise TooManyConnections(f"this client has {self.most_per_client} already")
            if _count(self._known) >= self.most_known and not self._evict(self._known, _is_idle):
                raise TooManyConnections("all clients together have as many as there may be")
            held.client, held.is_known = client, True
        finally:
            of = self._known if held.is_known else self._strangers
            of.setdefault(held.client, {})[held] = None

    def leave(self, held: Held) -> None:
        """The connection has ended. May be repeated."""
        if self._by_socket.pop(held.socket, None) is not None:
            self._take_out(held)

    def _take_out(self, held: Held) -> None:
        of = self._known if held.is_known else self._strangers
        held.is_known = False
        theirs = of.get(held.client, {})
        theirs.pop(held, None)
        if not theirs:
            of.pop(held.client, None)

    def _evict(self, among: dict[str, dict[Held, None]], may: Callable[[Held], bool]) -> bool:
        """End the oldest connection of whoever has most; whether there was one to end."""
        for theirs in sorted(among.values(), key=len, reverse=True):
            held = next((one for one in theirs if may(one)), None)
            if held is not None:
                self.leave(held)
                try:
                    held.socket.shutdown(sockets.SHUT_RDWR)
                except OSError:
                    pass  # it had gone already
                return True
        return False


def bounded_by_descriptors(most: int) -> int:
    """As many connections as this process may have descriptors for, and leave a quarter of those
    for all else. Raises its soft limit to the hard one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return most if hard == resource.RLIM_INFINITY else min(most, hard * 3 // 4)


def _count(connections: dict[str, dict[Held, None]]) -> int:
    return sum(map(len, connections.values()))


def _is_idle(held: Held) -> bool:
    return not held.is_busy
