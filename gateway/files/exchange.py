"""One operation of the process that serves files: events and bytes, in order, within bounds."""

from __future__ import annotations

from collections import deque
from typing import Any

import gevent
from gevent.event import Event

from gateway.errors import FileTimeout, GatewayError, LinkLost
from gateway.link.channel import Channel
from gateway.link.link import Link
from gateway.link.refusals import refusal
from gateway.protocol import frames

IN = 1
OUT = 0
"""The streams, from the sandbox and to it."""

SILENCE_S = 30.0
"""An operation of which nothing is heard for so long hangs in the sandbox's disk."""

MOST_FRAMES = 64
MOST_EVENTS = 64
"""That wait here at a time."""

MAX_PIECE = 256 * 1024
"""Bytes in one frame: fewer, larger frames make a large file quick."""


class Exchange:
    """A channel's use. Whoever opens it closes it.

    `window` is how many bytes may be on the way to here; `grant_more` makes it larger.
    """

    def __init__(self, link: Link, message: dict[str, Any], window: int) -> None:
        self._arrived: deque[dict[str, Any] | bytes] = deque()
        self._changed = Event()
        self._error: GatewayError | None = None
        self._events = 0
        self._next = 0
        self._window = window
        self._owed = [0, 0]
        self._data_ended = False
        self._finished = False
        self._channel: Channel = link.open(self, message, (window, MOST_FRAMES if window else 0))

    # --- whoever opened it -----------------------------------------------------------------------

    def event(self, within_s: float | None = SILENCE_S) -> dict[str, Any]:
        """The next event; what tells of progress only is passed over. Raises what the operation
        was refused for, LinkLost, ProtocolBroken and FileTimeout."""
        while True:
            arrived = self._take(within_s)
            if isinstance(arrived, bytes):
                raise self._broken("bytes in the place of an event")
            if arrived.get("event") != "progress":
                return arrived

    def data(self, within_s: float | None = SILENCE_S) -> bytes:
        """The next bytes; b"" at the end. Raises what `event` does."""
        data = self.last_data(within_s)
        self._give_back(len(data))
        return data

    def last_data(self, within_s: float | None = SILENCE_S) -> bytes:
        """The same, but as many bytes fewer may be on the way from now on."""
        while True:
            arrived = self._take(within_s)
            if isinstance(arrived, bytes):
                return arrived
            if arrived.get("event") != "progress":
                raise self._broken("an event in the place of bytes")

    def grant_more(self, size: int) -> None:
        """Let `size` more bytes be on the way. Raises LinkLost."""
        self._window += size
        self._channel.grant(IN, size, 1)

    def send(self, data: bytes) -> None:
        """Send bytes, as they are taken; none are the end. Raises what `event` does."""
        view, sent = memoryview(data), self._sent
        while view:
            room = self._channel.room(OUT, MAX_PIECE)
            if not room:
                self._wait_for_credit()
                continue
            self._channel.send(OUT, sent, bytes(view[:room]))
            sent += min(room, len(view))
            view = view[room:]
        if not data:
            self._channel.send(OUT, sent, b"")
        self._sent = sent

    _sent = 0

    def finished(self) -> None:
        """Everything has come: nothing need be called off."""
        self._finished = True

    def close(self) -> None:
        """Call it off, unless it has come to its end. May be repeated."""
        if self._finished or self._error is not None:
            self._channel.forget()
            return
        self._finished = True
        try:
            self._channel.cancel()
        except LinkLost:
            pass  # then nobody works on it any more

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _take(self, within_s: float | None) -> dict[str, Any] | bytes:
        while not self._arrived:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            if not self._changed.wait(within_s):
                raise FileTimeout()
        arrived = self._arrived.popleft()
        if not isinstance(arrived, bytes):
            self._events -= 1
        return arrived

    def _wait_for_credit(self) -> None:
        if self._error is not None:
            raise self._error
        with gevent.Timeout(SILENCE_S, FileTimeout()):
            self._channel.wait()
        if self._error is not None:
            raise self._error

    def _give_back(self, size: int) -> None:
        owed = self._owed
        owed[0] += size
        owed[1] += 1
        if not self._data_ended and (owed[0] >= self._window // 4 or owed[1] >= MOST_FRAMES // 4):
            self._owed = [0, 0]
            if owed[0]:
                self._channel.grant(IN, *owed)

    def _broken(self, why: str) -> GatewayError:
        return refusal({"code": "failed", "detail": f"the sandbox sent {why}"})

    # --- the link's reader -----------------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        if self._error is not None:
            raise frames.FrameError("an event after the end")
        if event.get("event") == "refused":
            self._error = refusal(event)
        elif event.get("event") != "progress" or not self._events:
            self._events += 1
            if self._events > MOST_EVENTS:
                raise frames.FrameError("too many events at a time")
            self._arrived.append(event)
        self._changed.set()

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        if stream != IN or offset != self._next or self._data_ended or self._error is not None:
            raise frames.FrameError(f"unexpected bytes at {offset} of stream {stream}")
        self._next += len(data)
        self._data_ended = not data
        self._arrived.append(data)
        self._changed.set()

    def on_lost(self, why: LinkLost) -> None:
        self._error = self._error or why
        self._changed.set()
