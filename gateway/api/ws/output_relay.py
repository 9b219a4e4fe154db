"""Brings one command's output to its client, as fast as the client takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from gateway.api.ws import frames
from gateway.protocol import streams
from gateway.schemas.command_event import CommandEvent, Exited, Gap, Output, Started
from gateway.schemas.models import CommandStarted
from gateway.schemas.output_decoding import PieceDecoder

PIECE_BYTES = 64 * 1024
"""Of output in one message: what an agent sends at once; a hostile one may send more."""

STREAMS = {streams.STDOUT: "stdout", streams.STDERR: "stderr"}


def relay(
    events: Iterable[CommandEvent],
    request_id: str,
    encoding: str | None,
    send: Callable[[Callable[[], bytes | None]], None],
) -> None:
    """Send what happens to a command, to its exit, as text frames.

    `send` is given what makes a frame, and blocks while the client does not read; then the command
    is held back, for credit is given as this loop goes on. `encoding` None means the command's own.
    """
    decoders: dict[int, PieceDecoder] = {}

    def piece(stream: int, decode: Callable[[], tuple[int, str] | None]) -> None:
        def made() -> bytes | None:
            decoded = decode()
            if decoded is None:
                return None
            return frames.encode_output(STREAMS[stream], request_id, *decoded)

        send(made)

    for event in events:
        if isinstance(event, Output):
            decoder = decoders.get(event.stream)
            if decoder is None:
                decoder = decoders[event.stream] = PieceDecoder(encoding or "utf-8")
            offset, view = event.offset, memoryview(event.data)
            for at in range(0, len(view), PIECE_BYTES):
                part = bytes(view[at : at + PIECE_BYTES])
                piece(event.stream, partial(decoder.feed, offset + at, part))
        elif isinstance(event, Gap):
            if event.stream in decoders:
                piece(event.stream, decoders[event.stream].flush)
            stream = STREAMS[event.stream]
            send(partial(frames.encode_gap, request_id, stream, event.start, event.end))
        elif isinstance(event, Started):
            encoding = encoding or str(event.meta.get("encoding"))
            if event.pid is not None:
                started = CommandStarted(type="started", request_id=request_id, pid=event.pid)
                send(partial(frames.encode_message, started))
        elif isinstance(event, Exited):
            for number, decoder in decoders.items():
                piece(number, decoder.flush)
