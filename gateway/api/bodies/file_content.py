"""The content of files as an answer, with all that HTTP says of it, whole or in part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from urllib.parse import quote

from flask import Response, after_this_request, request
from werkzeug.http import http_date

from gateway.api.bodies.streamed_answers import paced
from gateway.errors import BadRange, GatewayError
from gateway.files.reading import Reading
from gateway.files.service import Conditions, Tags, Wanted
from gateway.logs.line_budget import bounded_log

log = bounded_log(__name__)

BYTES = "application/octet-stream"

CONTENT_HEADERS = {
    # What a sandbox wrote must not run in the gateway's origin, whoever opens it in a browser.
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}

_FARTHEST = 2**62
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._ -]")


def wanted() -> Wanted:
    """What the current request wants of a file, by its headers."""
    part: tuple[int | None, int | None] | None = None
    part_if: str | None = None
    asked = request.range
    if asked is not None and asked.units == "bytes" and len(asked.ranges) == 1:
        [(first, end)] = asked.ranges
        if first < 0:
            part = (None, min(-first, _FARTHEST))
        else:
            part = (min(first, _FARTHEST), None if end is None else min(end - 1, _FARTHEST))
    if part is not None and "If-Range" in request.headers:
        part_if = f'"{request.if_range.etag}"' if request.if_range.etag else "a date"
    since = request.if_modified_since
    return Wanted(
        conditions(),
        head=request.method == "HEAD",
        part=part,
        part_if=part_if,
        since=None if since is None else since.timestamp(),
    )


def conditions() -> Conditions:
    """`If-Match` and `If-None-Match` of the current request."""
    only_if: Tags | None = None
    unless: Tags | None = None
    if "If-Match" in request.headers:
        tags = request.if_match
        only_if = "*" if tags.star_tag else [f'"{tag}"' for tag in tags.as_set()]
    if "If-None-Match" in request.headers:
        tags = request.if_none_match
        unless = "*" if tags.star_tag else [f'"{tag}"' for tag in tags.as_set(include_weak=True)]
    return Conditions(only_if, unless)


def content(reading: Reading, held: ExitStack) -> Response:
    """A file or a part of it. Takes over what is `held`, and lets it go when it is sent."""
    found = reading.entry
    if reading.unchanged:
        reading.done()
        response = Response(status=304)
    elif request.method == "HEAD":
        reading.done()
        response = Response(status=200, content_type=BYTES)
        if reading.size is not None:
            response.content_length = reading.size
    else:
        is_part = reading.length != reading.size
        whole = reading.whole()
        if whole is not None:
            response = Response(whole, 206 if is_part else 200, content_type=BYTES)
        else:
            response = Response(
                paced(or_broken_off(_to_client(reading))),
                206 if is_part else 200,
                content_type=BYTES,
            )
            response.call_on_close(held.pop_all().close)
            if reading.length is not None:
                response.content_length = reading.length
        if is_part:
            end = (reading.end or 0) - 1
            response.headers["Content-Range"] = f"bytes {reading.start}-{end}/{reading.size}"
    response.headers["ETag"] = found.get("etag", "")
    response.headers["Last-Modified"] = _date(found["modified_at"])
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Disposition"] = attachment(found["name"])
    response.headers.update(CONTENT_HEADERS)
    return response


def _to_client(reading: Reading) -> Iterator[bytes]:
    """The bytes; those of large files past this process, where the server hands out the connection
    and nothing is between."""
    client = request.environ.get("gunicorn.socket")
    if client is None or request.environ.get("wsgi.url_scheme") == "https":
        return reading.pieces()
    return reading.pieces_to(client)


def say_size_of(error: BadRange) -> None:
    """Let the answer to a part that is not there say how large the file is."""
    size = error.detail
    if size.isascii() and size.isdecimal():

        def add(response: Response) -> Response:
            response.headers["Content-Range"] = f"bytes */{size}"
            return response

        after_this_request(add)


def attachment(name: str) -> str:
    """`Content-Disposition` (RFC 6266): to be saved, not shown."""
    plain = _NOT_IN_A_NAME.sub("_", name)[:255]
    encoded = quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def or_broken_off(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same; an error in the middle cuts the connection, so that no client takes a part for the
    whole."""
    try:
        yield from pieces
    except GatewayError as error:
        log.warning("an answer broke off: %s: %s", error.code, error)
        raise ConnectionAbortedError("the answer broke off") from error


def _date(epoch_s: float) -> str:
    """Of any time that a file may have; HTTP knows those of four-digit years."""
    return http_date(min(max(epoch_s, 0.0), 253402300799.0))
