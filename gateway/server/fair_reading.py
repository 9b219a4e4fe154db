"""Bytes off a client's socket, paced: a connection is never alone on the hub.

gevent's recv returns at once, without letting other greenlets run, as long as bytes are ready:
three connections that send for ever stopped a worker for everybody.
"""

from __future__ import annotations

from typing import Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import SocketUnreader

from gateway.process.giving_way import Rate, Turn

HEAD_BYTES = 64 * 1024
"""Request line and header fields of one request together, and what was read along with them.
gunicorn itself bounds each field and their number, which allows 819 kB, scanned at each read."""

READS_PER_S = 1000
READS_AT_ONCE = 20
"""Of one connection: so the rest of the worker's time stays for others, not only their turns."""


class FairUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads from a client's socket, and lets others run before each read."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._turn = Turn()
        self._reads = Rate(READS_PER_S, READS_AT_ONCE)
        self.received = 0
        """Bytes, of all requests."""
        self._unpaced = 0
        """Bytes of the last read, which are dealt with until the next one."""
        self._head_ends_at: int | None = None

    def give_way(self) -> None:
        """Let others run when it is their turn, and wait where this connection reads too often."""
        size, self._unpaced = self._unpaced, 0
        self._turn.took(size)
        self._reads.take(1)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """What has arrived. Raises LimitRequestHeaders within a head that is too long."""
        self.give_way()
        data: bytes = super().chunk(size_hint)
        self._turn.begins()
        self._unpaced = len(data)
        self.received += len(data)
        if self._head_ends_at is not None and self.received > self._head_ends_at:
            raise LimitRequestHeaders("the header fields are too large together")
        return data

    def ask_for_body(self) -> None:
        """Unless it has begun to come. Raises OSError."""
        if not self.buf.getvalue():
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def begin_head(self) -> None:
        """From here to `end_head`, no more than HEAD_BYTES are read."""
        self._head_ends_at = self.received + HEAD_BYTES

    def end_head(self) -> None:
        self._head_ends_at = None
