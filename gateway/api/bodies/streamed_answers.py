"""Answers whose body is sent as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from flask import Response

from gateway.process.time_shares import wait_for_share

PIECE_BYTES = 256 * 1024
"""Given to the server at a time."""


def paced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces of bounded size: the server holds a copy of what it writes."""
    for piece in pieces:
        for at in range(0, len(piece), PIECE_BYTES):
            if at:
                wait_for_share()
            yield piece[at : at + PIECE_BYTES]


def streamed(pieces: Iterable[bytes], held: ExitStack, media_type: str) -> Response:
    """A body as it comes. Takes over what is `held`, and lets it go when the answer is sent."""
    response = Response(paced(pieces), content_type=media_type)
    response.call_on_close(held.pop_all().close)
    return response
