"""Answers: JSON written by the models themselves, and bodies that may be large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain, islice

import orjson
from flask import Response
from pydantic import BaseModel

from gateway.api.bodies.streamed_answers import streamed
from gateway.process.slices_of_work import SLICE, slice_of_work
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.models import CommandSummary


def one(
    model: BaseModel,
    status: int = 200,
    *,
    without_none: bool = False,
    leave_out: str | None = None,
) -> Response:
    """An object; `without_none` leaves out the fields that say nothing, `leave_out` one of them."""
    left_out = None if leave_out is None or getattr(model, leave_out) is not None else {leave_out}
    return _json(model.model_dump_json(exclude_none=without_none, exclude=left_out), status)


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


def result(finished: ResultMessage, held: ExitStack) -> Response:
    """A command's result. Takes over what is `held`, and lets it go when the answer is sent."""
    return _sized(finished.pieces(), finished.size, held)


def command(summary: CommandSummary, finished: ResultMessage | None, held: ExitStack) -> Response:
    """A command and its result, as `gateway.schemas.models.Command`. See `result`."""
    begin = orjson.dumps(summary.model_dump())[:-1] + b',"result":'
    if finished is None:
        return _sized([begin, b"null}"], len(begin) + 5, held)
    shown = finished.untyped()
    pieces = chain([begin], shown.pieces(), [b"}"])
    return _sized(pieces, len(begin) + shown.size + 1, held)


def _sized(pieces: Iterable[bytes], size: int, held: ExitStack) -> Response:
    response = streamed(pieces, held, "application/json")
    response.content_length = size
    return response


def _json(text: str | bytes, status: int) -> Response:
    return Response(text, status, content_type="application/json")
