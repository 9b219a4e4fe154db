"""The wire format between gateway and agent, used by both sides (docs/protocol.md).

A frame is a header (payload length u32, kind u8, channel u32, network byte order) and a payload.
Channel 0 is the link itself; the gateway numbers the others. What channels are used for, and what
carries the frames, is not known here. This module runs inside sandboxes too: Python 3.7, standard
library only.
"""

import json
import struct

PROTOCOL = 2

HELLO = 1  # agent to gateway, once: who it is
OPEN = 2  # gateway to agent: a new channel and what it is for
EVENT = 3  # agent to gateway: something happened on a channel
DATA = 4  # bytes of a stream, or its end
CREDIT = 5  # the receiver of a stream allows so much more
CLOSE = 7  # gateway to agent: this channel is not wanted any more

KINDS = frozenset((HELLO, OPEN, EVENT, DATA, CREDIT, CLOSE))

MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes. An OPEN carries a whole command; everything the agent sends is much smaller."""

MAX_CHUNK = 64 * 1024
"""Bytes of a stream in one DATA frame."""

BODY = "body"
"""Of an OPEN's message: raw bytes, which stand outside of its JSON."""

_HEADER = struct.Struct("!IBI")
_LENGTH = struct.Struct("!I")
_DATA = struct.Struct("!BQ")
_CREDIT = struct.Struct("!BII")

HEADER_SIZE = _HEADER.size


class FrameError(Exception):
    """The peer broke the format; nothing it sends after that can be understood."""


def encode(kind, channel, payload=b""):
    """One frame as bytes."""
    return _HEADER.pack(len(payload), kind, channel) + payload


def encode_json(kind, channel, message):
    """One frame whose payload is a JSON object. Raises ValueError for lone surrogates."""
    return encode(kind, channel, _json(message))


def _json(message):
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def encode_open(channel, message):
    """Open a channel. `message` is a JSON object; bytes under `BODY` are sent as they are.

    Raises ValueError for lone surrogates.
    """
    body = message.get(BODY, b"")
    text = _json({name: value for name, value in message.items() if name != BODY})
    return encode(OPEN, channel, b"".join((_LENGTH.pack(len(text)), text, body)))


def encode_data(channel, stream, offset, data):
    """`data` stands at byte `offset` of the stream. No data: the stream ends there."""
    return b"".join(
        (
            _HEADER.pack(_DATA.size + len(data), DATA, channel),
            _DATA.pack(stream, offset),
            data,
        )
    )


def encode_credit(channel, stream, size, count):
    """Allow `size` more bytes of the stream in `count` more frames, each at most 2**32 - 1."""
    return encode(CREDIT, channel, _CREDIT.pack(stream, size, count))


def decode_json(payload):
    """The JSON object in a payload. Raises FrameError if it is none."""
    try:
        message = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FrameError("payload is not JSON: %s" % error) from None
    if not isinstance(message, dict):
        raise FrameError("payload is not a JSON object")
    if b"\\ud" in payload or b"\\uD" in payload:
        _refuse_lone_surrogates(message)
    return message


def _refuse_lone_surrogates(message):
    """What cannot be written as UTF-8 again could not be told to a client."""
    try:
        json.dumps(message, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as error:
        raise FrameError("payload is not I-JSON: %s" % error) from None


def decode_open(payload):
    """The message of an OPEN payload, with its raw bytes under `BODY` if it has any.

    Raises FrameError.
    """
    if len(payload) < _LENGTH.size:
        raise FrameError("OPEN frame of %d bytes" % len(payload))
    end = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
    if end > len(payload):
        raise FrameError("OPEN frame with half a message")
    message = decode_json(payload[_LENGTH.size : end])
    if end < len(payload):
        message[BODY] = payload[end:]
    return message


def decode_data(payload):
    """(stream, offset, data) of a DATA payload. Raises FrameError if it is too short."""
    if len(payload) < _DATA.size:
        raise FrameError("DATA frame of %d bytes" % len(payload))
    stream, offset = _DATA.unpack_from(payload)
    return stream, offset, payload[_DATA.size :]


def decode_credit(payload):
    """(stream, bytes, frames) of a CREDIT payload. Raises FrameError if it has another size."""
    if len(payload) != _CREDIT.size:
        raise FrameError("CREDIT frame of %d bytes" % len(payload))
    return _CREDIT.unpack(payload)


class Decoder:
    """Turns received pieces, split anywhere, back into frames.

    `max_payload` bounds what a hostile peer can make this side hold in memory.
    """

    def __init__(self, max_payload=MAX_PAYLOAD):
        self._buffer = bytearray()
        self._max_payload = max_payload

    def feed(self, piece):
        """The (kind, channel, payload) of each frame that `piece` completes, in order.

        Raises FrameError when the format is broken.
        """
        buffer = self._buffer
        buffer += piece
        frames = []
        at = 0
        available = len(buffer)
        while available - at >= HEADER_SIZE:
            length, kind, channel = _HEADER.unpack_from(buffer, at)
            if kind not in KINDS:
                raise FrameError("unknown kind of frame: %d" % kind)
            if length > self._max_payload:
                raise FrameError("frame of %d bytes" % length)
            end = at + HEADER_SIZE + length
            if end > available:
                break
            frames.append((kind, channel, bytes(buffer[at + HEADER_SIZE : end])))
            at = end
        del buffer[:at]
        return frames
