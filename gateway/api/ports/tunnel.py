"""What follows an Upgrade: bytes both ways, of whatever protocol."""

from __future__ import annotations

import gevent

from gateway.api.ports.client import Client, ClientLeft
from gateway.api.ports.server import Server, new_buffer
from gateway.api.ports.watch import Stopped, Watch
from gateway.api.ports.websocket_frames import FrameEnds, close_frame
from gateway.errors import LinkLost, PortFailed

LAST_WORDS_S = 10.0
"""When one side has ended, the other one may go on for so long."""

LAST_FRAME_S = 1.0
"""For the rest of a frame, and then for the client's answer to the close frame, when the gateway
ends a WebSocket: its own have no more."""

_JOIN_S = 1.0

_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008

_BROKEN = (ClientLeft, PortFailed, LinkLost, OSError)


class Tunnel:
    """Passes bytes until both sides have ended, one of them has for a while, or nothing has passed
    for long. A WebSocket that the gateway itself ends is closed with a code."""

    def __init__(self, client: Client, server: Server, watch: Watch, protocol: str) -> None:
        self._client = client
        self._server = server
        self._watch = watch
        self._frames = FrameEnds() if protocol.lower() == "websocket" else None
        self._last: gevent.Greenlet | None = None

    def run(self, from_server: bytes) -> None:
        """Pass on what both sides have sent already, and what they send. Ends both."""
        inward = gevent.spawn(self._pass_in)
        try:
            self._pass_out(from_server)
            self._client.end()
            inward.join(LAST_WORDS_S)
        except Stopped:
            if self._say_goodbye():
                # The client's answer to it is the server's goodbye.
                inward.join(LAST_FRAME_S)
        except _BROKEN:
            pass
        finally:
            self._client.cut()
            self._server.connection.close()
            inward.join(_JOIN_S)
            inward.kill()
            if self._last is not None:
                self._last.kill(block=False)

    def _pass_out(self, first: bytes) -> None:
        """To the server's end. Raises Stopped and _BROKEN."""
        buffer = new_buffer()
        if first:
            self._write(first)
        while count := self._server.read_into(buffer):
            self._write(buffer[:count])

    def _write(self, data: bytes | memoryview) -> None:
        self._client.write(data)
        if self._frames is not None:
            self._frames.passed(data)

    def _say_goodbye(self) -> bool:
        """Close a WebSocket behind the frame that is on its way; whether that was possible."""
        if self._frames is None or self._frames.is_closed:
            return False
        try:
            with gevent.Timeout(LAST_FRAME_S, TimeoutError("the frame does not end")):
                self._end_frame(self._frames)
                code = _GOING_AWAY if self._watch.is_stopping else _POLICY_VIOLATION
                self._client.write(close_frame(code))
        except _BROKEN:
            return False
        self._client.end()
        return True

    def _end_frame(self, frames: FrameEnds) -> None:
        buffer = new_buffer()
        while frames.missing:
            count = self._server.connection.receive_into(buffer[: frames.missing])
            if not count:
                raise PortFailed("the server ended the connection in the middle of a frame")
            self._write(buffer[:count])

    def _pass_in(self) -> None:
        buffer = new_buffer()
        try:
            self._server.write_unchecked(self._client.unread())
            while count := self._client.receive_into(buffer):
                self._server.write_unchecked(buffer[:count])
            self._server.connection.end()
            # The client has ended its side: the server has a while to do the same.
            self._last = gevent.spawn_later(LAST_WORDS_S, self._server.connection.close)
        except Stopped:
            pass  # whoever passes the answers hears of it too, and says goodbye
        except _BROKEN:
            self._server.connection.close()
