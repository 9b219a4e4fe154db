"""Encodes what happens to a command as the messages that clients get."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import orjson
from pydantic import BaseModel

from gateway.link.exited import Exited
from gateway.link.follower import Gap, Output, Started
from gateway.protocol import streams
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.models import CommandStarted
from gateway.schemas.output_decoding import PieceDecoder

STREAMS = {streams.STDOUT: "stdout", streams.STDERR: "stderr"}

PIECE_BYTES = 64 * 1024
"""Of output in one message: what an agent sends at once; a hostile one may send more."""

Message = tuple[str, Callable[[], bytes | None]]
"""A kind of message, and what makes it as UTF-8 JSON; None where there is nothing to tell yet."""


class Result(Protocol):
    """A command's result as JSON: see `gateway.schemas.command_result_json.ResultMessage`."""

    def pieces(self) -> Iterable[bytes]: ...


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

    def story(
        self,
        events: Iterable[CommandEvent],
        outcome: Callable[[], AbstractContextManager[Result]],
    ) -> Generator[EncodedEvent, None, None]:
        """All messages, the last of which is the result. `outcome` is asked for when the command
        has ended, and held until the result is done with."""
        yield from self.encode(events)
        with outcome() as result:
            yield self.encoded("result", result.pieces())

    def encode(self, events: Iterable[CommandEvent]) -> Generator[EncodedEvent, None, None]:
        """All messages but the result."""
        with closing(self.messages(events)) as messages:
            for kind, make in messages:
                payload = make()
                if payload is not None:
                    yield self.encoded(kind, payload)

    def messages(self, events: Iterable[CommandEvent]) -> Generator[Message, None, None]:
        """All messages but the result, each to be made before the next is asked for: it takes more
        room than what it is made of, and may have to wait for its turn.

        The next event is only asked for when a message is done with, so that the command is held
        back by whoever reads slowly. Owns `events`: they are closed when this is.
        """
        with each_of(events) as following:
            for event in following:
                yield from self._about(event)

    def encoded(self, kind: str, payload: bytes | Iterable[bytes]) -> EncodedEvent:
        """A message at the present place in the output."""
        offsets = (self._offsets[streams.STDOUT], self._offsets[streams.STDERR])
        return EncodedEvent(kind, payload, offsets)

    def _about(self, event: CommandEvent) -> Iterable[Message]:
        if isinstance(event, Started):
            yield from self._started(event)
        elif isinstance(event, Exited):
            for stream in list(self._decoders):
                yield from self._rest(stream)
        elif self._only in (None, event.stream):
            if isinstance(event, Output):
                yield from self._output(event)
            else:
                yield from self._rest(event.stream)
                yield "gap", partial(self._gap, event)

    def _started(self, started: Started) -> Iterable[Message]:
        self._encoding = self._encoding or str(started.meta.get("encoding"))
        if started.pid is not None:
            message = CommandStarted(type="started", request_id=self._request_id, pid=started.pid)
            yield "started", partial(encode_message, message)

    def _output(self, output: Output) -> Iterable[Message]:
        decoder = self._decoders.get(output.stream)
        if decoder is None:
            decoder = self._decoders[output.stream] = PieceDecoder(self._encoding or "utf-8")
        view = memoryview(output.data)
        for at in range(0, len(view), PIECE_BYTES):
            part = bytes(view[at : at + PIECE_BYTES])
            decode = partial(decoder.feed, output.offset + at, part)
            yield STREAMS[output.stream], partial(self._piece, output.stream, decode)

    def _rest(self, stream: int) -> Iterable[Message]:
        if stream in self._decoders:
            yield STREAMS[stream], partial(self._piece, stream, self._decoders[stream].flush)

    def _piece(self, stream: int, decode: Callable[[], tuple[int, str] | None]) -> bytes | None:
        decoded = decode()
        self._offsets[stream] = self._decoders[stream].offset
        if decoded is None:
            return None
        return encode_output(STREAMS[stream], self._request_id, *decoded)

    def _gap(self, gap: Gap) -> bytes:
        self._offsets[gap.stream] = gap.end
        return encode_gap(self._request_id, STREAMS[gap.stream], gap.start, gap.end)


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
