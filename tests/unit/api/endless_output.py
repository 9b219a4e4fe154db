"""A command whose output has no end, and whoever follows it."""

from __future__ import annotations

from collections.abc import Iterator

from gevent.event import Event

from gateway.schemas.command_event import CommandEvent, Output, Started


class EndlessOutput:
    """Tells of output without end, and whether it was closed by whoever follows it: it is no
    generator, which would be closed whenever it is freed."""

    def __init__(self) -> None:
        self.told = 0
        self.closed = 0
        self.is_closed = Event()

    def __iter__(self) -> Iterator[CommandEvent]:
        return self

    def __next__(self) -> CommandEvent:
        self.told += 1
        if self.told == 1:
            return Started(42, {"encoding": "utf-8"})
        return Output(1, self.told - 2, b"x")

    def close(self) -> None:
        self.closed += 1
        self.is_closed.set()
