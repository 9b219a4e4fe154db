"""A directory that is being listed."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from gateway.errors import ProtocolBroken
from gateway.files.entries import Entry, entry_of
from gateway.files.exchange import Exchange
from gateway.process.giving_way import Turn
from gateway.process.time_shares import wait_for_share


class Listing:
    """Its entries, some at a time, when iterated over; then `more` says whether the page has left
    out any."""

    WINDOW_BYTES = 512 * 1024
    """What may be on the way. One frame has at most half of it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.more = False
        exchange.event()

    def __iter__(self) -> Iterator[list[Entry]]:
        turn = Turn()
        while frame := self._exchange.data():
            wait_for_share()
            turn.begins()
            try:
                records = orjson.loads(frame)
            except orjson.JSONDecodeError:
                raise ProtocolBroken("a list that is no JSON") from None
            if not isinstance(records, list):
                raise ProtocolBroken("a list that is none")
            yield [entry_of(record) for record in records]
            turn.took(len(frame), len(records))  # several frames may be here already
        self.more = self._exchange.event().get("more") is True
        self._exchange.finished()
