"""One execution, as it is read from the sandbox: bounded, however much its code shows."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from gateway.contexts.records import Record, record_of
from gateway.errors import ProtocolBroken
from gateway.files.exchange import Exchange
from gateway.process.byte_budget import ByteBudget, Holding
from gateway.process.time_shares import wait_for_share
from gateway.schemas.json_in_threads import read_aside

WINDOW_BYTES = 512 * 1024
"""What may be on the way. Whoever reads slowly slows the code, once that is used up."""

LONGEST_LINE = 20 * 1024 * 1024
"""Bytes. A kernel leaves out of a result what would make it longer than 16 MiB."""

HELD_BYTES = 1024 * 1024
"""Of a long line, that are asked room for at a time."""


class Execution:
    """Whoever reads it owns the exchange, and closes it: code that still runs is interrupted."""

    def __init__(self, exchange: Exchange, budget: ByteBudget, owner: str) -> None:
        self._exchange = exchange
        self._held = Holding(budget, owner)
        self._line = bytearray()

    def records(self) -> Generator[Record, None, None]:
        """To the end of the execution, for one greenlet. Raises LinkLost, ProtocolBroken, what the
        execution was refused for, TooMuchUnread and GatewayFull."""
        try:
            while piece := self._exchange.data(None):
                wait_for_share()
                yield from self._records_in(piece)
        finally:
            self._held.close()
        if self._line:
            raise ProtocolBroken("half of a line")
        self._exchange.finished()

    def _records_in(self, piece: bytes) -> Generator[Record, None, None]:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line, self._line = bytes(self._line + end), bytearray()
            record = read_aside(line, partial(record_of, line))
            if record is not None:
                yield record
            self._held.give_back(self._held.size)
        self._line += rest
        self._hold()

    def _hold(self) -> None:
        """What is kept of a line that has not ended counts against the owner's share."""
        size = len(self._line)
        if size > LONGEST_LINE:
            raise ProtocolBroken("what code shows is too long")
        while size - WINDOW_BYTES > self._held.size:
            self._held.take(HELD_BYTES)
