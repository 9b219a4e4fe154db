"""What an agent sends, cut into frames, and their JSON: never more at a time than is bounded."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any, TypeGuard

import orjson

from gateway.protocol import frames

MAX_HELLO_BYTES = 4096

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""The agent is on the tenant's side: a larger frame is an attack. The largest that it sends tells
whoever attaches the text of the command."""

PLAIN_BYTES = 16 * 1024
"""JSON up to this size cannot become more than a megabyte of objects: it is not looked through."""

MAX_VALUES = 16 * 1024
"""In one JSON text. The longest honest list has 400 commands of 10 values."""

_HEADER = struct.Struct("!IBI")


class Incoming:
    """The frames of one link, one at a time. Keeps at most one that is not complete."""

    def __init__(self, max_payload: int = MAX_HELLO_BYTES) -> None:
        self.max_payload = max_payload
        """Bytes. May be raised once it is known who is there."""
        self._buffer = bytearray()

    def frames(self, piece: bytes) -> Generator[tuple[int, int, bytes], None, None]:
        """(kind, channel, payload) of each frame that `piece` completes. To be used up before the
        next piece is given, but for the last time. Raises FrameError."""
        buffer = self._buffer
        buffer += piece
        at, available = 0, len(buffer)
        try:
            while available - at >= _HEADER.size:
                length, kind, channel = _HEADER.unpack_from(buffer, at)
                if kind not in frames.KINDS:
                    raise frames.FrameError(f"unknown kind of frame: {kind}")
                if length > self.max_payload:
                    raise frames.FrameError(f"frame of {length} bytes")
                end = at + _HEADER.size + length
                if end > available:
                    return
                payload = bytes(memoryview(buffer)[at + _HEADER.size : end])
                at = end
                yield kind, channel, payload
        finally:
            del buffer[:at]

    def rest(self) -> bytes:
        """What came after the last frame that was taken; it is not kept."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return rest

    def holds_more(self) -> bool:
        """Whether bytes came after the last frame that was taken."""
        return bool(self._buffer)


def decode_json(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload. Raises FrameError also for one of too many values: four
    megabytes of `[[],[],…` would become a hundred of objects.

    Not by `protocol.frames`, which has the standard library alone: that took 160 ms of the worker
    for four megabytes of long numbers, and 80 for a text of line ends. This takes 10.
    """
    if len(payload) > PLAIN_BYTES and _may_have_many(payload) and _values(payload) > MAX_VALUES:
        raise frames.FrameError("JSON of too many values")
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise frames.FrameError(f"payload is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise frames.FrameError("payload is not a JSON object")
    return message


def _may_have_many(payload: bytes) -> bool:
    """Every value but the first follows one of these; those in strings count too."""
    return sum(map(payload.count, (b",", b"[", b"{"))) >= MAX_VALUES // 2


def _values(payload: bytes) -> int:
    """At least as many values as the JSON text has, if it is any: what stands outside of strings is
    counted."""
    text = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts = text.split(b'"', 2 * MAX_VALUES)
    outside = b"".join(parts[::2])
    return len(parts) // 2 + sum(map(outside.count, (b",", b"[", b"{")))


def is_count(value: object, below: int) -> TypeGuard[int]:
    """Whether it is a whole number from 0 on, and no `true`: JSON numbers have any size."""
    return type(value) is int and 0 <= value < below
