"""Brings one command's output to its client, as fast as the client takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.agent import frames as link_frames
from gateway.commands.decoding import PieceDecoder
from gateway.commands.happenings import Exited, Gap, Happening, Output, Started
from gateway.models import CommandStarted
from gateway.ws import frames

STREAMS = {link_frames.STDOUT: "stdout", link_frames.STDERR: "stderr"}


def relay(
    happenings: Iterable[Happening],
    request_id: str,
    encoding: str | None,
    send: Callable[[bytes], None],
) -> None:
    """Send what happens to a command, to its exit, as text frames.

    `send` blocks while the client does not read, and then the command is held back, for credit is
    given as this loop goes on. `encoding` None means the command's own.
    """
    decoders: dict[int, PieceDecoder] = {}

    def piece(stream: int, decoded: tuple[int, str] | None) -> None:
        if decoded is not None:
            send(frames.encode_output(STREAMS[stream], request_id, *decoded))

    for happening in happenings:
        if isinstance(happening, Output):
            decoder = decoders.get(happening.stream)
            if decoder is None:
                decoder = decoders[happening.stream] = PieceDecoder(encoding or "utf-8")
            piece(happening.stream, decoder.feed(happening.offset, happening.data))
        elif isinstance(happening, Gap):
            if happening.stream in decoders:
                piece(happening.stream, decoders[happening.stream].flush())
            stream = STREAMS[happening.stream]
            send(frames.encode_gap(request_id, stream, happening.start, happening.end))
        elif isinstance(happening, Started):
            encoding = encoding or str(happening.meta.get("encoding"))
            if happening.pid is not None:
                started = CommandStarted(type="started", request_id=request_id, pid=happening.pid)
                send(frames.encode_message(started))
        elif isinstance(happening, Exited):
            for number, decoder in decoders.items():
                piece(number, decoder.flush())
