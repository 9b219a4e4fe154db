"""Bodies that are passed on as they come, of any size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
from flask import request

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
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise BadMediaType("a body in a coding is not unpacked")
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
