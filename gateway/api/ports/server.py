"""Bytes from and to a server, with looks around while nothing moves."""

from __future__ import annotations

from gateway.api.ports.watch import Watch
from gateway.ports.connection import BUFFER_BYTES, Connection
from gateway.process.giving_way import Turn


class Server:
    """A connection, as an exchange uses it. Reading gives way to others (`Turn`)."""

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self.connection = connection
        self._watch = watch
        self._turn = Turn()
        self._last = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it. Raises OSError, LinkLost, and what `Watch` does."""
        self._watch.check()
        self.write_unchecked(data)

    def write_unchecked(self, data: bytes | memoryview) -> None:
        """The same, though the exchange is to be ended: for last words."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.connection.send(view) :]
            except TimeoutError:
                self._watch.look()
            else:
                self._watch.asked()

    def read_into(self, buffer: memoryview) -> int:
        """What has come, 0 at the end. Raises likewise, and then nothing was taken."""
        self._turn.took(self._last)
        self._watch.check()
        while True:
            try:
                self._last = self.connection.receive_into(buffer)
            except TimeoutError:
                self._watch.look()
                continue
            self._turn.begins()
            self._watch.answered()
            return self._last


def new_buffer() -> memoryview:
    """For one direction of one exchange."""
    return memoryview(bytearray(BUFFER_BYTES))
