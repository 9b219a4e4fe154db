"""Bodies that are passed on as they come, of any size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import gevent
from flask import request

from gateway.api.bodies import gzip_coding
from gateway.errors import BadMediaType, BadRequest, BodyTimeout
from gateway.process.splicing import Ended, splice

SLOW_PIECE_BYTES = 64 * 1024
FAST_PIECE_BYTES = 512 * 1024
FAST_S = 0.5
"""A client that brings a piece in this time is asked for a larger one."""

PIECE_S = 60.0
"""Who needs longer for a piece, 1 KiB in a second, counts as gone."""


def pieces() -> Iterator[bytes]:
    """The body of the current request, which is read here and nowhere else: no limit of the
    application holds for it. A client that waits to be asked for it is asked by the first step.

    Raises BadRequest when it ends too early, BadMediaType and BodyTimeout.
    """
    if coding() != "":
        raise BadMediaType("a body in a coding is not unpacked")
    return _sized_pieces()


def coding() -> str:
    """That of the current request's body; "" where there is none."""
    named = request.headers.get("Content-Encoding", "").strip().lower()
    return "" if named == "identity" else named


def unpacked_pieces(most: int) -> Iterator[bytes]:
    """The same of a body that may come as gzip, which is unpacked to at most so many bytes. Of a
    body without a length, what has come is given without waiting for more.

    Raises TooLarge, and what `pieces` does.
    """
    named = coding()
    if named not in ("", "gzip", "x-gzip"):
        raise BadMediaType("a body in this coding is not unpacked")
    came = _sized_pieces() if request.content_length is not None else _pieces_at_once()
    return came if named == "" else gzip_coding.unpacked(came, most)


def all_or_pieces(came: Iterator[bytes], most: int) -> bytes | Iterator[bytes]:
    """A body as one piece if it has at most so many bytes; else what gives its pieces."""
    first = b""
    for piece in came:
        first += piece
        if len(first) > most:
            return chain([first], came)
    return first


def _pieces_at_once() -> Iterator[bytes]:
    stream = request.environ["wsgi.input"]
    received = getattr(stream, "request", None)
    while True:
        with gevent.Timeout(PIECE_S, BodyTimeout(f"nothing came for {PIECE_S:g} s")):
            piece = stream.read(SLOW_PIECE_BYTES) if received is None else received.piece()
        if not piece:
            return
        yield piece


def _sized_pieces() -> Iterator[bytes]:
    stream, length = request.environ["wsgi.input"], request.content_length
    received, size = 0, SLOW_PIECE_BYTES
    while length is None or received < length:
        since = time.monotonic()
        with gevent.Timeout(PIECE_S, BodyTimeout(f"{size} bytes took longer than {PIECE_S:g} s")):
            piece = stream.read(size if length is None else min(size, length - received))
        if not piece:
            break
        size = FAST_PIECE_BYTES if time.monotonic() - since < FAST_S else SLOW_PIECE_BYTES
        received += len(piece)
        yield piece
    if length is not None and received < length:
        raise BadRequest("the body is shorter than its Content-Length")


def whole_if_small(most: int) -> bytes | Iterator[bytes] | Upload:
    """The body itself if it says that it is small; else what gives its pieces."""
    length = request.content_length
    if length is None:
        return pieces()
    return Upload(length) if length > most else b"".join(pieces())


class Upload:
    """The body of the current request, of a known size: piece by piece, or past this process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        """See `pieces`."""
        return pieces()

    def splice_to(self, target: Any) -> None:
        """Pass all of it on to a socket. Raises BadRequest, BodyTimeout, and OSError for the
        target's end."""
        stream = request.environ["wsgi.input"]
        raw = None
        if hasattr(stream, "raw") and not _is_tls():
            raw = stream.raw()
        if raw is None:
            for piece in pieces():
                target.sendall(piece)
            return
        first, client = raw
        target.sendall(first)
        try:
            splice(
                client,
                target,
                self.size - len(first),
                silence_s=PIECE_S,
                write=target.sendall,
                moved=stream.took,
            )
        except Ended:
            raise BadRequest("the body is shorter than its Content-Length") from None


def _is_tls() -> bool:
    return request.environ.get("wsgi.url_scheme") == "https"
