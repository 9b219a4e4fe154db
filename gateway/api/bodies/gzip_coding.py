"""Bodies in the coding gzip (RFC 1952), made and taken apart piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from gateway.errors import BadRequest, TooLarge
from gateway.process.time_shares import wait_for_share

PIECE_BYTES = 256 * 1024
"""Unpacked at a time: one byte of gzip may stand for a thousand."""

_GZIP = 16 + zlib.MAX_WBITS


def unpacked(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """What is in it, member after member. Raises BadRequest for what is no gzip or ends too early,
    and TooLarge beyond `most` bytes."""
    member = zlib.decompressobj(_GZIP)
    size = 0
    for piece in pieces:
        left, may_hold_more = piece, False
        while left or may_hold_more:
            if member.eof:
                if not left:
                    break
                member = zlib.decompressobj(_GZIP)
            wait_for_share()
            try:
                found = member.decompress(left, PIECE_BYTES)
            except zlib.error as error:
                raise BadRequest(f"the body is no gzip: {error}") from None
            left = member.unused_data if member.eof else member.unconsumed_tail
            may_hold_more = len(found) == PIECE_BYTES
            size += len(found)
            if size > most:
                raise TooLarge(f"the body unpacks to more than {most} bytes")
            if found:
                yield found
    if not member.eof:
        raise BadRequest("the gzip in the body ends too early")


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same as gzip, quickly rather than small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        for at in range(0, len(piece), PIECE_BYTES):
            wait_for_share()
            made = packer.compress(piece[at : at + PIECE_BYTES])
            if made:
                yield made
    yield packer.flush()
