"""Files in a `multipart/form-data` body (RFC 7578), as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import (
    NEED_DATA,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
)

from gateway.api.bodies import uploads
from gateway.errors import BadMediaType, BadRequest

MOST_PARTS = 10_000
LONGEST_HEAD_BYTES = 16 * 1024
"""Of one part."""

LONGEST_BOUNDARY = 200


@dataclass(frozen=True)
class Part:
    """A part: its field, its file name where it has one, what its head says of both, its first
    bytes, and the rest where there is more. The rest is to be used up before the next part is asked
    for."""

    field: str
    name: str | None
    disposition: str
    first: bytes
    rest: Iterator[bytes] | None


class FilePart(Part):
    """A part that has a file name."""

    name: str


def file_parts(first_bytes: int) -> Iterator[FilePart]:
    """The files in the current request's body; up to `first_bytes` of each come at once.

    Raises BadMediaType, BadRequest, and what `uploads.pieces` does.
    """
    for part in parts(first_bytes, uploads.pieces()):
        if part.name is None:
            raise BadRequest("a part without a file name")
        yield FilePart(part.field, part.name, part.disposition, part.first, part.rest)


def parts(first_bytes: int, pieces: Iterator[bytes]) -> Iterator[Part]:
    """The parts in the current request's body, which comes as `pieces`. Raises BadMediaType and
    BadRequest."""
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise BadMediaType("the body must be multipart/form-data, with its boundary")
    events = _events(boundary.encode(), pieces)
    for event in events:
        if isinstance(event, File | Field):
            yield _part(event, events, first_bytes)


def _part(head: File | Field, events: Iterator[Event], first_bytes: int) -> Part:
    name = head.filename if isinstance(head, File) else None
    about = (head.name or "", name, head.headers.get("content-disposition", ""))
    first = b""
    for piece, more in _content(events):
        first += piece
        if more and len(first) > first_bytes:
            return Part(*about, first, (piece for piece, _ in _content(events)))
    return Part(*about, first, None)


def _content(events: Iterator[Event]) -> Iterator[tuple[bytes, bool]]:
    """A part's bytes, and whether there are more, to its last."""
    for event in events:
        assert isinstance(event, Data)
        yield event.data, event.more_data
        if not event.more_data:
            return


def _events(boundary: bytes, pieces: Iterator[bytes]) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary, max_parts=MOST_PARTS)
    in_content = False
    while True:
        try:
            event = decoder.next_event()
        except RequestEntityTooLarge:
            raise BadRequest(f"more than {MOST_PARTS} parts") from None
        except ValueError as error:
            raise BadRequest(f"a part that is none: {error}") from None
        if event is NEED_DATA:
            if not in_content and len(decoder.buffer) > LONGEST_HEAD_BYTES:
                raise BadRequest("the head of a part is too long")
            piece = next(pieces, None)
            if piece is None:
                raise BadRequest("the body ends within a part")
            decoder.receive_data(piece)
            continue
        if isinstance(event, Epilogue):
            return
        if isinstance(event, Data):
            in_content = event.more_data
        elif isinstance(event, File | Field):
            in_content = True
        yield event
        if decoder.state.name == "EPILOGUE":
            # What follows the last boundary says nothing; it is read, so that the connection stays.
            for _ in pieces:
                pass
            return
