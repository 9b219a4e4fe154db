"""A file that is being read: what it is, then its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from gateway.errors import ProtocolBroken
from gateway.files.entries import Entry, entry_of
from gateway.files.exchange import Exchange
from gateway.link.incoming import is_count

SMALL_BYTES = 64 * 1024
"""A file of this size comes at once, and is not counted against anybody's share."""

FIRST_BYTES = SMALL_BYTES + 1024
WINDOW_BYTES = 2 * 1024 * 1024
"""What may be on the way of a larger one: bounds what a slow reader makes the gateway hold."""

LARGEST = 2**63


class Reading:
    """An answer to `Files.read`. Close it.

    `size` is the whole file's, None where it does not say; `start` and `end` are where the bytes
    that come stand. `unchanged`: nothing comes, for the client has it.
    """

    def __init__(self, exchange: Exchange, hold: Callable[[int], None]) -> None:
        self._exchange = exchange
        self._hold = hold
        self._resources = ExitStack()
        event = exchange.event()
        self.entry: Entry = entry_of(event.get("stat"))
        self.unchanged = event.get("unchanged") is True
        self.size = _count(event.get("size"))
        self.start = _count(event.get("from")) or 0
        self.end = _count(event.get("to"))
        if self.end is None and self.size is not None:
            self.end = self.size
        if self.end is not None and not self.start <= self.end <= (self.size or 0):
            raise ProtocolBroken("a part of a file that is not in it")

    @property
    def length(self) -> int | None:
        """Bytes that come; None where that is not known."""
        return None if self.end is None else self.end - self.start

    def whole(self) -> bytes | None:
        """All bytes, if they are few; else None, and they are to be iterated over."""
        if self.length is None or self.length > SMALL_BYTES:
            return None
        return b"".join(self._pieces())

    def pieces(self) -> Iterator[bytes]:
        """The bytes. Raises what `Files.read` does, also in the middle."""
        self._hold(WINDOW_BYTES)
        self._exchange.grant_more(WINDOW_BYTES)
        yield from self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        left = self.length
        while piece := self._exchange.data():
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise ProtocolBroken("more bytes than the file has")
            yield piece
        if left:
            raise ProtocolBroken("fewer bytes than the file has")
        self._exchange.finished()

    def done(self) -> None:
        """Nothing else comes."""
        self._exchange.finished()


def _count(value: object) -> int | None:
    if value is None:
        return None
    if not is_count(value, LARGEST):
        raise ProtocolBroken("a file without its size")
    return value
