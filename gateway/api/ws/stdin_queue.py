"""Input for running commands: in order per command, without holding up anything else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import Event

from gateway.api.ws.message_cost import cost_of_input
from gateway.errors import GatewayError, StdinFull
from gateway.process import byte_budget
from gateway.process.byte_budget import Holding

MAX_PENDING_BYTES = 8 * 1024 * 1024
"""Of input that one command has not read; and twice as much over all commands of a connection."""

STALL_S = 3.0
"""A command with so much pending that has taken nothing for so long does not read. Before that the
connection is not read any further, which is how a client notices that it is too fast."""

LOOK_S = 1.0
"""How soon it is noticed that a client which is not read any further has gone."""

Write = Callable[[str, bytes, bool], None]


class _StdinQueue:
    def __init__(self) -> None:
        self.pieces: deque[tuple[bytes, bool, int]] = deque()
        self.pending = 0
        self.moved_at = time.monotonic()
        """When it was made, or last took something."""


class StdinQueues:
    """One queue per command, emptied by a greenlet of its own while there is something in it.

    `write(request_id, data, eof)` blocks while the command does not read, and reports errors to
    the client itself. `held` is what the client may make the gateway hold; `connected` says whether
    it is still there.
    """

    def __init__(self, write: Write, held: Holding, connected: Callable[[], bool]) -> None:
        self._write = write
        self._held = held
        self._connected = connected
        self._queues: dict[str, _StdinQueue] = {}
        self._greenlets: set[gevent.Greenlet] = set()
        self._pending = 0
        self._moved_at = time.monotonic()
        self._taken = Event()

    def put(self, request_id: str, data: bytes, eof: bool) -> None:
        """Queue input. Blocks while too much is pending of a command that reads, if slowly, and
        while too much of the owner's is held; drops it when the client has gone.

        Raises StdinFull when the command, or every one of the connection, does not read, so that
        the client's next message is seen. Raises TooMuchQueued and GatewayFull.
        """
        while (moved_at := self._full_since(request_id)) is not None:
            if not self._connected():
                return
            left_s = moved_at + STALL_S - time.monotonic()
            if left_s <= 0:
                raise StdinFull()
            self._taken.clear()
            self._taken.wait(min(left_s, LOOK_S))
        size = self._take(cost_of_input(data))
        self._pending += size
        queue = self._queues.get(request_id)
        is_new = queue is None
        if queue is None:
            queue = self._queues[request_id] = _StdinQueue()
        queue.pieces.append((data, eof, size))
        queue.pending += size
        if is_new:
            greenlet = gevent.spawn(self._empty, request_id, queue)
            self._greenlets.add(greenlet)
            greenlet.link(self._greenlets.discard)

    def _full_since(self, request_id: str) -> float | None:
        """When something last moved of what is too much for one more piece; None if nothing is."""
        queue = self._queues.get(request_id)
        if queue is not None and queue.pending > MAX_PENDING_BYTES:
            return queue.moved_at
        return self._moved_at if self._pending > 2 * MAX_PENDING_BYTES else None

    def _take(self, size: int) -> int:
        """Wait for the owner's share as long as the commands of this connection read."""
        began = time.monotonic()
        while True:
            try:
                return self._held.take(size, min(STALL_S, byte_budget.PATIENCE_S))
            except GatewayError:
                now = time.monotonic()
                stalled = bool(self._queues) and now - self._moved_at > STALL_S
                if stalled or now - began >= byte_budget.PATIENCE_S:
                    raise

    def _empty(self, request_id: str, queue: _StdinQueue) -> None:
        while queue.pieces:
            data, eof, size = queue.pieces.popleft()
            try:
                self._write(request_id, data, eof)
            finally:
                queue.pending -= size
                self._pending -= size
                self._held.give_back(size)
                self.moved(request_id)
                self._taken.set()
        del self._queues[request_id]

    def moved(self, request_id: str) -> None:
        """A command has taken some of its input, perhaps not a whole piece."""
        queue = self._queues.get(request_id)
        if queue is not None:
            queue.moved_at = self._moved_at = time.monotonic()

    def close(self) -> None:
        """Drop what is pending. May be repeated."""
        gevent.killall(list(self._greenlets))
        self._queues.clear()
