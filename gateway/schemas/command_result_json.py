"""A command's result as JSON, written a piece at a time: only the bytes of the output are held.

The text of 16 MiB, and its JSON, would be held besides them as long as the client reads, and
escaped bytes take six times their room.
"""

from __future__ import annotations

import base64
import codecs
import copy
from collections.abc import Iterator
from typing import Literal

import gevent
import orjson

from gateway.schemas.command_effects import NO_EFFECTS, CommandEffects
from gateway.schemas.command_result import Outcome, Pieces, described, result_of, uncut
from gateway.schemas.event_encoder import encode_message, said
from gateway.schemas.models import CommandResult

PIECE_BYTES = 48 * 1024
"""Of output that is written at a time; a multiple of three, as base64 wants it."""

PIECES_AT_ONCE = 16
"""Written before another greenlet gets its turn."""


class ResultMessage:
    """What goes to the client of a command that has ended. `result` are its fields, but for the
    output of one that wrote much: those are in `pieces` only.

    `encoding` is `utf-8` or `base64`; `with_type` says whether the client gets other messages too;
    `effects` are what it tells of files.
    """

    def __init__(
        self,
        command: str,
        request_id: str,
        outcome: Outcome,
        encoding: str = "utf-8",
        with_type: bool = False,
        effects: CommandEffects = NO_EFFECTS,
    ) -> None:
        self._outcome = outcome
        self._encoding = encoding
        kind: Literal["result"] | None = "result" if with_type else None
        self._is_small = sum(len(p) for stream in outcome.pieces for p in stream) <= PIECE_BYTES
        if self._is_small:
            self.result = result_of(command, request_id, outcome, encoding, kind, effects)
        else:
            self.result = described(command, request_id, outcome, kind, effects)
        self._size: int | None = None

    def untyped(self) -> ResultMessage:
        """The same without its `type`, for where it is no message."""
        other = copy.copy(self)
        other.result, other._size = self.result.model_copy(update={"type": None}), None
        return other

    @property
    def size(self) -> int:
        """Bytes of all `pieces`. Lets other greenlets run; the first time it takes as long as
        writing them does."""
        if self._size is None:
            self._size = sum(len(piece) for piece in self._yielding())
        return self._size

    def pieces(self) -> Iterator[bytes]:
        """The JSON object, in pieces of bounded size."""
        if self._is_small:
            yield encode_message(self.result)
            return
        fields = said(self.result)
        first = {name: fields.pop(name) for name in ("request_id", "command", "success")}
        del fields["output"]
        error = fields.pop("error")
        yield orjson.dumps(first)[:-1] + b',"output":"'
        yield from self._written(0)
        yield b'","error":"'
        if self._outcome.exited.failure is None:
            yield from self._written(1)
        else:
            yield orjson.dumps(error)[1:-1]
        yield b'",' + orjson.dumps(fields, default=CommandResult.model_dump)[1:]

    def _yielding(self) -> Iterator[bytes]:
        for number, piece in enumerate(self.pieces()):
            if number % PIECES_AT_ONCE == PIECES_AT_ONCE - 1:
                gevent.sleep(0)
            yield piece

    def _written(self, stream: int) -> Iterator[bytes]:
        """The inside of a JSON string."""
        pieces = self._outcome.pieces[stream]
        if self._encoding == "base64":
            yield from _base64(pieces)
            return
        for piece in uncut(pieces):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            for at in range(0, len(piece), PIECE_BYTES):
                part = piece[at : at + PIECE_BYTES]
                text = decoder.decode(part, final=at + PIECE_BYTES >= len(piece))
                yield orjson.dumps(text)[1:-1]


def _base64(pieces: Pieces) -> Iterator[bytes]:
    """Of all of them as one. Three bytes are four characters, wherever a piece ends."""
    rest = b""
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), PIECE_BYTES):
            part = rest + view[at : at + PIECE_BYTES]
            whole = len(part) - len(part) % 3
            rest = part[whole:]
            yield base64.b64encode(part[:whole])
    yield base64.b64encode(rest)
