"""A part of one stream of a command's output, as raw bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import gevent

from gateway.commands.telling import each_of
from gateway.link.exited import Exited
from gateway.link.follower import Gap, Happening, Output


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
    happenings: Iterable[Happening],
    stream: int,
    offset: int,
    *,
    size: int,
    finished: bool,
    limit: int,
    wait_s: float,
) -> OutputSlice:
    """Up to `limit` bytes of `stream` from `offset` on, as soon as there are any.

    `happenings` are those from `offset` on, of a command that had written `size` bytes and perhaps
    `finished`. What had been written is waited for without limit, since it is there; more than
    that for `wait_s` seconds. An offset larger than asked for means that what lay before it is not
    kept any more.
    """
    piece = _Piece(stream, offset, limit)
    with each_of(happenings) as following:
        if offset < size:
            for happening in following:
                piece.take(happening)
                if piece.full or piece.next >= size:
                    break
        elif wait_s > 0 and not finished:
            with gevent.Timeout(wait_s, False):
                for happening in following:
                    if piece.take(happening):
                        break
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

    @property
    def next(self) -> int:
        return self.offset + len(self.data)

    @property
    def full(self) -> bool:
        """Whether nothing more can be taken."""
        return self._cut or self.ended or len(self.data) >= self._limit

    def take(self, happening: Happening) -> bool:
        """Take what belongs to the piece; whether something did."""
        if isinstance(happening, Exited):
            self.ended = True
            return True
        if not isinstance(happening, Output | Gap) or happening.stream != self._stream:
            return False
        if isinstance(happening, Output):
            self.data += happening.data[: self._limit - len(self.data)]
        elif self.data:
            self._cut = True  # the next piece will begin behind the gap
        else:
            self.offset = happening.end
        return True
