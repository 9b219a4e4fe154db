"""A part of one stream of a command's output, as raw bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import gevent

from gateway.errors import BadOffset
from gateway.link.exited import Exited
from gateway.link.follower import Gap, Output
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.event_encoder import each_of


@dataclass(frozen=True)
class OutputSlice:
    """`data` stands at `offset`. `complete`: the command has ended, and nothing follows."""

    offset: int
    data: bytes
    complete: bool

    @property
    def next(self) -> int:
        """Where to go on."""
        return self.offset + len(self.data)


def slice_of(
    events: Iterable[CommandEvent],
    stream: int,
    offset: int,
    *,
    size: int,
    finished: bool,
    limit: int,
    wait_s: float,
) -> OutputSlice:
    """Up to `limit` bytes of `stream` from `offset` on, as soon as there are any.

    `events` are those from `offset` or, where less was written yet, from `size` on: of a
    command that had written `size` bytes and perhaps `finished`. What had been written is waited
    for without limit, since it is there; more than that for `wait_s` seconds. An offset larger
    than asked for means that what lay before it is not kept any more.

    Raises BadOffset when the command ends meanwhile and never got to `offset`.
    """
    piece = _Piece(stream, offset, limit)
    with each_of(events) as following:
        if offset < size:
            for event in following:
                piece.take(event)
                if piece.full or piece.next >= size:
                    break
        elif wait_s > 0 and not finished:
            with gevent.Timeout(wait_s, False):
                for event in following:
                    if piece.take(event):
                        break
    if piece.ended and piece.reached < offset and size < offset:
        raise BadOffset(f"only {max(size, piece.reached)} bytes have been written")
    complete = piece.ended or (finished and piece.next >= size)
    return OutputSlice(piece.offset, bytes(piece.data), complete)


class _Piece:
    def __init__(self, stream: int, offset: int, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._cut = False
        self.offset = offset
        self.data = bytearray()
        self.ended = False
        self.reached = 0
        """How far the stream has come, as far as it was seen."""

    @property
    def next(self) -> int:
        return self.offset + len(self.data)

    @property
    def full(self) -> bool:
        """Whether nothing more can be taken."""
        return self._cut or self.ended or len(self.data) >= self._limit

    def take(self, event: CommandEvent) -> bool:
        """Take what belongs to the piece; whether something did."""
        if isinstance(event, Exited):
            self.ended = True
            return True
        if not isinstance(event, Output | Gap) or event.stream != self._stream:
            return False
        if isinstance(event, Output):
            return self._take_output(event)
        self.reached = max(self.reached, event.end)
        if event.end <= self.offset:
            return False  # it comes before what is asked for
        if self.data:
            self._cut = True  # the next piece will begin behind the gap
        else:
            self.offset = event.end
        return True

    def _take_output(self, output: Output) -> bool:
        end = output.offset + len(output.data)
        self.reached = max(self.reached, end)
        if end <= self.offset:
            return False
        before = max(0, self.offset - output.offset)
        self.data += output.data[before : before + self._limit - len(self.data)]
        return True
