"""Input for running commands: in order per command, without holding up anything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import Event

from gateway.commands.budget import Holding
from gateway.ws.message_cost import cost_of_input

MAX_PENDING_BYTES = 4 * 1024 * 1024
"""Of input that commands have not read, over all commands of a connection. Then the connection
is not read any further until some of it was taken."""

LOOK_S = 1.0
"""How soon it is noticed that a client which is not read any further has gone."""

Write = Callable[[str, bytes, bool], None]


class InputLanes:
    """One queue per command, emptied by a greenlet of its own while there is something in it.

    `write(request_id, data, eof)` blocks while the command does not read, and reports errors to
    the client itself. `held` is what the client may make the gateway hold; `connected` says whether
    it is still there.
    """

    def __init__(self, write: Write, held: Holding, connected: Callable[[], bool]) -> None:
        self._write = write
        self._held = held
        self._connected = connected
        self._lanes: dict[str, deque[tuple[bytes, bool, int]]] = {}
        self._greenlets: set[gevent.Greenlet] = set()
        self._pending = 0
        self._taken = Event()

    def put(self, request_id: str, data: bytes, eof: bool) -> None:
        """Queue input. Blocks while too much of it is pending, on this connection or of all of the
        owner's; drops it when the client has gone. Raises TooMuchQueued and GatewayFull, when that
        lasts."""
        while self._pending > MAX_PENDING_BYTES:
            if not self._connected():
                return
            self._taken.clear()
            self._taken.wait(LOOK_S)
        size = self._held.take(cost_of_input(data))
        self._pending += size
        lane = self._lanes.get(request_id)
        if lane is not None:
            lane.append((data, eof, size))
            return
        self._lanes[request_id] = deque([(data, eof, size)])
        greenlet = gevent.spawn(self._empty, request_id)
        self._greenlets.add(greenlet)
        greenlet.link(self._greenlets.discard)

    def _empty(self, request_id: str) -> None:
        lane = self._lanes[request_id]
        while lane:
            data, eof, size = lane.popleft()
            try:
                self._write(request_id, data, eof)
            finally:
                self._pending -= size
                self._held.give_back(size)
                self._taken.set()
        del self._lanes[request_id]

    def close(self) -> None:
        """Drop what is pending. May be repeated."""
        gevent.killall(list(self._greenlets))
        self._lanes.clear()
