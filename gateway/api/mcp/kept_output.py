"""What of a command's output goes into an answer: the beginning and the end of each stream, or what
follows an offset. However much is written, no more than that is held."""

from __future__ import annotations

import time
from collections.abc import Iterable

import gevent

from gateway.api.mcp.budget import Kept
from gateway.protocol import streams
from gateway.schemas.command_event import CommandEvent, Exited, Gap, Output
from gateway.schemas.event_encoder import each_of

QUIET_S = 1.0
"""Whoever reads on gets what has come when nothing has followed for so long."""

SLACK = 1.25
"""The end of a stream may become so many times longer than it shall be before it is cut."""

START_S = 30.0
"""A command is waited for to be started, whatever the wait for its end is."""


class HeadAndTail:
    """The first and the last bytes of a stream, at most so many."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self._most_head, self._most_tail = head_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()
        self._size = 0
        self._gap = False

    def take(self, event: Output | Gap) -> None:
        """What comes next."""
        if isinstance(event, Gap):
            self._gap, self._size = True, event.end
            self._most_head = 0  # what follows is not the beginning any more
            self._tail.clear()
            return
        self._size = event.offset + len(event.data)
        room = max(0, self._most_head - len(self._head))
        self._head += event.data[:room]
        self._tail += event.data[room:]
        if len(self._tail) > self._most_tail * SLACK:
            del self._tail[: -self._most_tail]

    def kept(self) -> Kept:
        """As it is now."""
        tail = bytes(self._tail[-self._most_tail :])
        return Kept(bytes(self._head), tail, self._size, gap=self._gap)


class Both:
    """Both streams of a command, from its beginning, and how it ended."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self.streams = {
            stream: HeadAndTail(head_bytes, tail_bytes)
            for stream in (streams.STDOUT, streams.STDERR)
        }
        self.is_started = False
        self.exited: Exited | None = None

    def take(self, event: CommandEvent) -> bool:
        """Whether it is all."""
        self.is_started = True
        if isinstance(event, Exited):
            self.exited = event
        elif isinstance(event, Output | Gap):
            self.streams[event.stream].take(event)
        return self.exited is not None


class Onwards:
    """What stands from an offset of one stream on, up to `most` bytes or to where some fell out."""

    def __init__(self, stream: int, offset: int, most: int) -> None:
        self._stream, self._most = stream, most
        self.start = offset
        self.gap: tuple[int, int] | None = None
        self.data = bytearray()
        self.exited: Exited | None = None
        self.cut = False
        """Whether more of the stream is there than was taken."""

    @property
    def next(self) -> int:
        return self.start + len(self.data)

    def take(self, event: CommandEvent) -> bool:
        """Whether it is all."""
        if isinstance(event, Exited):
            self.exited = event
        elif isinstance(event, Gap) and event.stream == self._stream and event.end > self.next:
            if self.data:
                self.cut = True
            else:
                self.gap = (self.start, event.end)
                self.start = event.end
        elif isinstance(event, Output) and event.stream == self._stream:
            skipped = max(0, self.next - event.offset)
            taken = event.data[skipped : skipped + self._most - len(self.data)]
            self.data += taken
            self.cut = self.cut or skipped + len(taken) < len(event.data)
        return self.exited is not None or self.cut


def follow(
    events: Iterable[CommandEvent], into: Both | Onwards, *, wait_s: float, size: int | None = None
) -> None:
    """Take what happens to a command for `wait_s` seconds, or until it is all.

    It goes on afterwards, whatever was taken. With `size`, so much of the stream is there already,
    and more is waited for until nothing has come for QUIET_S.
    """
    begun = time.monotonic()
    with each_of(events) as following:
        while True:
            patience_s = _patience(into, begun, wait_s, size)
            event = None
            with gevent.Timeout(patience_s, False):
                event = next(following, None)
            if event is None or into.take(event):
                return


def _patience(into: Both | Onwards, begun: float, wait_s: float, size: int | None) -> float:
    left_s = max(0.001, begun + wait_s - time.monotonic())
    if isinstance(into, Both):
        return left_s if into.is_started else START_S
    if size is not None and into.next < size:
        return START_S
    return min(left_s, QUIET_S) if into.data else left_s
