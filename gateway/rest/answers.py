"""Answers: JSON written by the models themselves, and bodies that may be large."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

import gevent
import orjson
from flask import Response
from pydantic import BaseModel

from gateway.commands.telling import encode_message, said
from gateway.models import CommandResult, CommandSummary
from gateway.sandboxes.bulk import SLICE, slice_of_work

STALL_LIMIT_S = 60.0
"""How long a client may take nothing of what is being sent. The server itself sets no limit, and
large results are held in memory that all commands share."""

PIECE_BYTES = 256 * 1024


def one(model: BaseModel, status: int = 200, *, without_none: bool = False) -> Response:
    """An object; `without_none` leaves out the fields that say nothing."""
    return _json(model.model_dump_json(exclude_none=without_none), status)


def many(models: Sequence[BaseModel]) -> Response:
    """A bare array."""
    return _json(f"[{','.join(model.model_dump_json() for model in models)}]", 200)


def array(pieces: Iterable[bytes]) -> Response:
    """A bare array of what becomes JSON piece by piece: there may be thousands."""
    written: list[bytes] = []
    left = iter(pieces)
    while True:
        with slice_of_work():
            some = list(islice(left, SLICE))
        written += some
        if len(some) < SLICE:
            break
    return _json(b"[%b]" % b",".join(written), 200)


def nothing() -> Response:
    """204."""
    response = Response(status=204)
    response.headers.pop("Content-Type", None)
    return response


def result(finished: CommandResult, held: ExitStack) -> Response:
    """A command's result. Takes over what is `held`, and lets it go when the answer is sent."""
    return _large(encode_message(finished), held)


def command(summary: CommandSummary, finished: CommandResult | None, held: ExitStack) -> Response:
    """A command and its result, as `gateway.models.Command`. See `result`."""
    fields = None if finished is None else said(finished)
    if fields is not None:
        fields.pop("type", None)
    shown = {**summary.model_dump(), "result": fields}
    return _large(orjson.dumps(shown, default=BaseModel.model_dump), held)


def paced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces of bounded size, to a client that goes on reading.

    For a server that writes each piece before it asks for the next, in the same greenlet. One that
    waits too long is given up as if the client had gone, which is no error.
    """
    for piece in pieces:
        for at in range(0, len(piece), PIECE_BYTES):
            gone = BrokenPipeError(errno.EPIPE, "the client does not read")
            with gevent.Timeout(STALL_LIMIT_S, gone):
                yield piece[at : at + PIECE_BYTES]


def streamed(pieces: Iterable[bytes], held: ExitStack, media_type: str) -> Response:
    """A body as it comes. See `result`."""
    response = Response(paced(pieces), content_type=media_type)
    response.call_on_close(held.pop_all().close)
    return response


def _large(body: bytes, held: ExitStack) -> Response:
    response = streamed([body], held, "application/json")
    response.content_length = len(body)
    return response


def _json(text: str | bytes, status: int) -> Response:
    return Response(text, status, content_type="application/json")
