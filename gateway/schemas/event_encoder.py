"""Encodes what happens to a command as the messages that clients get."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from gateway.link.exited import Exited
from gateway.link.follower import Gap, Output, Started
from gateway.protocol import streams
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.models import CommandStarted
from gateway.schemas.output_decoding import PieceDecoder

STREAMS = {streams.STDOUT: "stdout", streams.STDERR: "stderr"}


@dataclass(frozen=True)
class EncodedEvent:
    """A message as UTF-8 JSON, a large one in pieces. `offsets` are how many bytes of stdout and
    stderr have been sent with it: who has it goes on from there."""

    kind: str
    payload: bytes | Iterable[bytes]
    offsets: tuple[int, int]


class EventEncoder:
    """Encodes the events of one command from these offsets of stdout and stderr, to its exit.

    `encoding` None means the command's own. With `only`, of output that of one stream. A character
    is never split over two messages.
    """

    def __init__(
        self,
        request_id: str,
        encoding: str | None,
        offsets: tuple[int, int] = (0, 0),
        only: int | None = None,
    ) -> None:
        self._request_id = request_id
        self._encoding = encoding
        self._only = only
        self._offsets = dict(zip(STREAMS, offsets, strict=True))
        self._decoders: dict[int, PieceDecoder] = {}

    def encoded(self, kind: str, payload: bytes | Iterable[bytes]) -> EncodedEvent:
        """A message at the present place in the output."""
        return EncodedEvent(
            kind, payload, (self._offsets[streams.STDOUT], self._offsets[streams.STDERR])
        )

    def encode(self, events: Iterable[CommandEvent]) -> Generator[EncodedEvent, None, None]:
        """All but the result. The next event is only asked for when a message is done with, so
        that the command is held back by whoever reads slowly."""
        with each_of(events) as following:
            for event in following:
                yield from self._about(event)

    def _about(self, event: CommandEvent) -> Iterable[EncodedEvent]:
        if isinstance(event, Started):
            yield from self._started(event)
        elif isinstance(event, Exited):
            for stream in list(self._decoders):
                yield from self._rest(stream)
        elif self._only in (None, event.stream):
            if isinstance(event, Output):
                yield from self._output(event)
            else:
                yield from self._gap(event)

    def _started(self, started: Started) -> Iterable[EncodedEvent]:
        self._encoding = self._encoding or str(started.meta.get("encoding"))
        if started.pid is not None:
            message = CommandStarted(type="started", request_id=self._request_id, pid=started.pid)
            yield self.encoded("started", encode_message(message))

    def _output(self, output: Output) -> Iterable[EncodedEvent]:
        decoder = self._decoders.get(output.stream)
        if decoder is None:
            decoder = self._decoders[output.stream] = PieceDecoder(self._encoding or "utf-8")
        yield from self._piece(output.stream, decoder.feed(output.offset, output.data))

    def _rest(self, stream: int) -> Iterable[EncodedEvent]:
        if stream in self._decoders:
            yield from self._piece(stream, self._decoders[stream].flush())

    def _piece(self, stream: int, decoded: tuple[int, str] | None) -> Iterable[EncodedEvent]:
        self._offsets[stream] = self._decoders[stream].offset
        if decoded is not None:
            kind = STREAMS[stream]
            yield self.encoded(kind, encode_output(kind, self._request_id, *decoded))

    def _gap(self, gap: Gap) -> Iterable[EncodedEvent]:
        yield from self._rest(gap.stream)
        self._offsets[gap.stream] = gap.end
        kind = STREAMS[gap.stream]
        yield self.encoded("gap", encode_gap(self._request_id, kind, gap.start, gap.end))


@contextmanager
def each_of(events: Iterable[CommandEvent]) -> Iterator[Iterator[CommandEvent]]:
    """Iterate, and stop following at the end of the block: not whenever the generator behind it
    happens to be freed, for stopping may have to wait."""
    following: Any = iter(events)
    try:
        yield following
    finally:
        close = getattr(following, "close", None)
        if close is not None:
            close()


def encode_message(message: BaseModel) -> bytes:
    """A message as UTF-8 JSON. What is None is left out: it is not part of the message."""
    return orjson.dumps(said(message), default=_plain)


def said(message: BaseModel) -> dict[str, object]:
    """The fields of a message that say something, themselves and no copies."""
    return {name: value for name, value in message if value is not None}


def encode_output(kind: str, request_id: str, offset: int, data: str) -> bytes:
    """An `OutputPiece`. Not by way of the model: a flood is thousands of these in a second."""
    return orjson.dumps({"type": kind, "request_id": request_id, "offset": offset, "data": data})


def encode_gap(request_id: str, stream: str, start: int, end: int) -> bytes:
    """An `OutputGap`, whose `from` is no name in Python."""
    return orjson.dumps(
        {"type": "gap", "request_id": request_id, "stream": stream, "from": start, "to": end}
    )


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    raise TypeError(f"not a message: {type(value).__name__}")
