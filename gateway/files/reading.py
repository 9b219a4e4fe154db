"""A file that is being read: what it is, then its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from gateway.errors import ProtocolBroken
from gateway.files.entries import Entry, entry_of
from gateway.files.exchange import SILENCE_S, Exchange
from gateway.link.bulk import Bulk
from gateway.link.incoming import is_count
from gateway.process.splicing import splice

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

    def __init__(
        self,
        exchange: Exchange,
        hold: Callable[[int], None],
        claim: Callable[[object, int], Bulk | None] = lambda _token, _at: None,
    ) -> None:
        self._exchange = exchange
        self._hold = hold
        self._claim = claim
        event = exchange.event()
        self._offer = event.get("bulk")
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

    def pieces_to(self, client: Any) -> Iterator[bytes]:
        """The bytes, but most of them not: those of a large file go to the socket `client` by
        themselves, where that can be. What is given is written there before the next is asked for.
        """
        if self._offer is None or self.length is None:
            yield from self.pieces()
            return
        # So much was on its way without being asked for, and then it waits.
        at, first = self.start, 0
        while first < FIRST_BYTES and (piece := self._exchange.last_data()):
            first += len(piece)
            yield piece
        bulk = self._claim(self._offer, at + first)
        if bulk is None:
            yield from self._in_frames(first)
            return
        with closing(bulk):
            self._exchange.close()
            yield bulk.first
            splice(
                bulk.socket,
                client,
                self.length - first - len(bulk.first),
                silence_s=SILENCE_S,
                write=client.sendall,
            )

    def _in_frames(self, first: int) -> Iterator[bytes]:
        self._hold(WINDOW_BYTES)
        self._exchange.grant_more(WINDOW_BYTES)
        yield from self._pieces(first)

    def pieces(self) -> Iterator[bytes]:
        """The bytes. Raises what `Files.read` does, also in the middle."""
        yield from self._in_frames(0)

    def _pieces(self, had: int = 0) -> Iterator[bytes]:
        left = None if self.length is None else self.length - had
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
