"""A connection to a server in a sandbox that the agent makes there, over a channel of its link."""

from __future__ import annotations

from collections import deque
from typing import Any

import gevent
from gevent.event import Event

from gateway.errors import AgentUnavailable, GatewayError, LinkLost
from gateway.link.ask import ANSWER_S
from gateway.link.channel import Channel
from gateway.link.link import Link
from gateway.link.refusals import refusal
from gateway.ports.connection import LOOK_S
from gateway.protocol import frames, streams

WINDOW = 512 * 1024
WINDOW_FRAMES = 64
"""What the agent may have sent that was not read here: each connection holds no more."""


class AgentConnection:
    """See `gateway.ports.connection.Connection`, and `gateway.agent.ports.connection`. The link
    stays open as long as somebody uses the container (`Links.using`)."""

    def __init__(self, link: Link, port: int) -> None:
        self._changed = Event()
        self._connected = False
        self._error: GatewayError | None = None
        self._pieces: deque[memoryview] = deque()
        self._owed = [0, 0]
        """Bytes and frames that were read and that the agent was given no credit for yet."""
        self._at_end = False
        self._sent = 0
        self._ended = False
        self._closed = False
        message = {"op": "connect", "port": port}
        self._channel: Channel = link.open(self, message, (WINDOW, WINDOW_FRAMES))
        try:
            silence = AgentUnavailable("the agent did not connect in time")
            with gevent.Timeout(ANSWER_S, silence):
                while not self._connected:
                    self._raise_error()
                    self._wait()
        except BaseException:
            self.close()
            raise

    # --- for the exchange ------------------------------------------------------------------------

    def receive_into(self, buffer: memoryview) -> int:
        """See `Connection`."""
        if not self._pieces and not self._at_end:
            with gevent.Timeout(LOOK_S, TimeoutError("nothing has come")):
                while not self._pieces and not self._at_end:
                    self._raise_error()
                    self._wait()
        if not self._pieces:
            return 0
        piece = self._pieces.popleft()
        size = min(len(piece), len(buffer))
        buffer[:size] = piece[:size]
        if size < len(piece):
            self._pieces.appendleft(piece[size:])
        self._give_back(size, 0 if size < len(piece) else 1)
        return size

    def _give_back(self, size: int, count: int) -> None:
        self._owed = [self._owed[0] + size, self._owed[1] + count]
        # In pieces of at least a quarter of the window, to send fewer frames.
        if not self._at_end and (
            self._owed[0] >= WINDOW // 4 or self._owed[1] >= WINDOW_FRAMES // 4
        ):
            owed, self._owed = self._owed, [0, 0]
            self._channel.grant(streams.STDOUT, *owed)

    def send(self, data: memoryview) -> int:
        """See `Connection`."""
        with gevent.Timeout(LOOK_S, TimeoutError("nothing was taken")):
            while not (room := self._channel.room(streams.STDIN)):
                self._raise_error()
                if self._at_end or self._ended:
                    raise BrokenPipeError("the server has gone")
                self._channel.wait()
        self._raise_error()
        piece = bytes(data[:room])
        self._channel.send(streams.STDIN, self._sent, piece)
        self._sent += len(piece)
        return len(piece)

    def end(self) -> None:
        """See `Connection`."""
        if not self._ended and self._error is None and not self._closed:
            self._ended = True
            try:
                self._channel.send(streams.STDIN, self._sent, b"")
            except LinkLost:
                pass  # reading says so

    def is_quiet(self) -> bool:
        """See `Connection`."""
        return not (self._closed or self._pieces or self._at_end or self._error is not None)

    def close(self) -> None:
        """See `Connection`."""
        if self._closed:
            return
        self._closed = True
        self._pieces.clear()
        if self._error is None:
            self._error = LinkLost("the connection is closed")
        self._changed.set()
        try:
            self._channel.cancel()
        except LinkLost:
            pass  # then nothing is left to close

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        """Until something has come."""
        self._changed.clear()
        self._changed.wait()

    # --- called by the link's reader -------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "connected" and not self._connected:
            self._connected = True
        elif kind == "refused" and not self._connected:
            self._error = refusal(event)
        else:
            raise frames.FrameError("an event that belongs to no connection")
        self._changed.set()

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        if stream != streams.STDOUT or not self._connected:
            raise frames.FrameError("data that belongs to no connection")
        if data:
            self._pieces.append(memoryview(data))
        else:
            self._at_end = True
        self._changed.set()

    def on_lost(self, why: LinkLost) -> None:
        if self._error is None:
            self._error = why
        self._changed.set()
