"""Protocol 2 (docs/protocol.md), where it differs from older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.link.ask import Question
from gateway.link.channel import NOTHING
from gateway.protocol import frames, streams
from gateway.protocol.credit import Flow

if TYPE_CHECKING:
    from gateway.link.input import InputWriter
    from gateway.link.link import Link


def opening(number: int, message: dict[str, Any], credit: tuple[int, int]) -> bytes:
    frame: bytes = frames.encode_open(number, message | {"credit": credit})
    return frame


def crediting(number: int, stream: int, size: int, count: int) -> bytes:
    frame: bytes = frames.encode_credit(number, stream, size, count)
    return frame


def inward(credit: tuple[int, int]) -> Flow:
    return Flow(*credit)


def write_input(link: Link, writer: InputWriter) -> None:
    """On a channel of its own; credit comes back as the command's input takes it."""
    written = Question()
    message = writer.message | {"op": "stdin", "end": writer.eof}
    channel = link.open(written, message, NOTHING)
    at, ended = writer.taken, False
    try:
        while not written.answer.ready():
            writer.took(at - channel.on_the_way(streams.STDIN))
            # Cut at the same places whenever it is sent: the agent knows each piece by its offset.
            piece = writer.data[at : at + frames.MAX_CHUNK]
            if piece and channel.room(streams.STDIN) >= len(piece):
                channel.send(streams.STDIN, at, piece)
                at += len(piece)
            elif not piece and not ended:
                channel.send(streams.STDIN, at, b"")
                ended = True
            else:
                channel.wait()
        written.answer.get()
        writer.took(len(writer.data))
    finally:
        if written.answer.ready():
            channel.forget()
        else:
            channel.cancel()
