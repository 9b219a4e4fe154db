"""Protocol 1, for agents that an earlier version has started and that still run.

It had credit in bytes alone, and input as base64 in JSON.
"""

from __future__ import annotations

import base64
import shlex
import struct
from typing import TYPE_CHECKING, Any

from gateway.errors import FeatureMissing
from gateway.link.ask import ask
from gateway.link.channel import NOTHING
from gateway.protocol import frames
from gateway.protocol.credit import Flow

if TYPE_CHECKING:
    from gateway.link.input import InputWriter
    from gateway.link.link import Link

INPUT_BYTES = 128 * 1024
"""In one message."""

ANY_FRAMES = 2**31
"""These agents know nothing of credit in frames."""

_CREDIT = struct.Struct("!BI")


def opening(number: int, message: dict[str, Any], credit: tuple[int, int]) -> bytes:
    told = dict(message)
    if told.pop("user", None) is not None:
        raise FeatureMissing()
    argv, body = told.pop("argv", None), told.pop(frames.BODY, b"")
    if argv is not None:
        told["command"] = f"exec {shlex.join(argv)}"
    if told.pop("input", False):
        told |= {"input": _packed(body), "input_encoding": "base64"}
    if credit != NOTHING:
        told["credit"] = credit[0]
    frame: bytes = frames.encode_json(frames.OPEN, number, told)
    return frame


def crediting(number: int, stream: int, size: int, count: int) -> bytes:
    frame: bytes = frames.encode(frames.CREDIT, number, _CREDIT.pack(stream, size))
    return frame


def inward(credit: tuple[int, int]) -> Flow:
    return Flow(credit[0], ANY_FRAMES)


def write_input(link: Link, writer: InputWriter) -> None:
    """Message by message; each is answered when the command's input has taken it."""
    is_last = False
    while not is_last:
        piece = writer.data[writer.taken : writer.taken + INPUT_BYTES]
        after = writer.taken + len(piece)
        is_last = after == len(writer.data)
        ask(
            link,
            "stdin",
            within_s=None,  # as long as the command does not read
            **(writer.message | {"write_id": f"{writer.message['write_id']}:{writer.taken}"}),
            data=_packed(piece),
            end=writer.eof and is_last,
        )
        writer.took(after)


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
