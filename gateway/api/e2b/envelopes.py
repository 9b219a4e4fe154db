"""Envelopes, in which Connect's streams carry their messages, both ways.

One byte of flags, four of length (big endian), then the JSON (connectrpc.com, Protocol). Where an
envelope is cut into chunks or packets means nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from gateway.api.e2b.rpc_errors import RpcError

DATA = 0x00
COMPRESSED = 0x01
END = 0x02

MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message. A longer one is refused by its length, before any of it is read."""

_HEAD = struct.Struct("!BI")


def enveloped(message: bytes, flags: int = DATA) -> bytes:
    """One message as it goes over the wire."""
    return _HEAD.pack(flags, len(message)) + message


def messages_in(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The messages of a request, each as soon as its last byte has come. No more is held than one
    message and a piece.

    Raises RpcError for what is longer than MESSAGE_BYTES, compressed, of unknown flags or cut off.
    """
    held = bytearray()
    for piece in pieces:
        held += piece
        while True:
            size = _size_of_first(held)
            if size is None or len(held) < _HEAD.size + size:
                break
            message = bytes(held[_HEAD.size : _HEAD.size + size])
            del held[: _HEAD.size + size]
            yield message
    if held:
        raise RpcError("invalid_argument", "the request ends within an envelope")


def _size_of_first(held: bytearray) -> int | None:
    """The length that the first envelope says; None while that has not come."""
    if held and held[0] & COMPRESSED:
        raise RpcError("invalid_argument", "an envelope is compressed, without an encoding for it")
    if held and held[0] != DATA:
        raise RpcError("invalid_argument", f"an envelope has the unknown flags {held[0]:#04x}")
    if len(held) < _HEAD.size:
        return None
    _flags, size = _HEAD.unpack_from(held)
    if size > MESSAGE_BYTES:
        raise RpcError(
            "resource_exhausted",
            f"a message of {size} bytes is larger than the {MESSAGE_BYTES} that are taken",
        )
    return int(size)
