"""What follows an Upgrade: bytes both ways, of whatever protocol."""

from __future__ import annotations

import gevent

from gateway.api.ports.client import Client, ClientLeft
from gateway.api.ports.server import Server, new_buffer
from gateway.api.ports.watch import Stopped, Watch
from gateway.errors import LinkLost, PortFailed

LAST_WORDS_S = 10.0
"""When one side has ended, the other one may go on for so long."""

_JOIN_S = 1.0


class Tunnel:
    """Passes bytes until both sides have ended, one of them has for a while, or nothing has passed
    for long."""

    def __init__(self, client: Client, server: Server, watch: Watch) -> None:
        self._client = client
        self._server = server
        self._watch = watch
        self._last: gevent.Greenlet | None = None

    def run(self, from_server: bytes) -> None:
        """Pass on what both sides have sent already, and what they send. Ends both."""
        inward = gevent.spawn(self._pass_in)
        try:
            outward_ended = self._pass_out(from_server)
            if outward_ended:
                self._client.end()
                inward.join(LAST_WORDS_S)
        finally:
            self._client.cut()
            self._server.connection.close()
            inward.join(_JOIN_S)
            inward.kill()
            if self._last is not None:
                self._last.kill(block=False)

    def _pass_out(self, first: bytes) -> bool:
        """Whether it came to the server's end."""
        buffer = new_buffer()
        try:
            if first:
                self._client.write(first)
            while count := self._server.read_into(buffer):
                self._client.write(buffer[:count])
            return True
        except (ClientLeft, Stopped, PortFailed, LinkLost, OSError):
            return False

    def _pass_in(self) -> None:
        buffer = new_buffer()
        server = Server(self._server.connection, self._watch)
        try:
            server.write(self._client.unread())
            while count := self._client.receive_into(buffer):
                server.write(buffer[:count])
            self._server.connection.end()
            # The client has ended its side: the server has a while to do the same.
            self._last = gevent.spawn_later(LAST_WORDS_S, self._server.connection.close)
        except (ClientLeft, Stopped, PortFailed, LinkLost, OSError):
            self._server.connection.close()
