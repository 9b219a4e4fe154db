"""What a query may say, by route. Its values are texts: `"10"` counts as a number."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.models.base import Request
from gateway.models.commands import MAX_RESULT_BYTES, Offset, RequestId, TerminalSize

LONGEST_PIECE_BYTES = 1024 * 1024
LONGEST_WAIT_S = 60.0


class CommandQuery(Request):
    """Query of `GET /sandboxes/{sandbox_id}/commands/{request_id}`."""

    max_output_bytes: int = Field(
        MAX_RESULT_BYTES,
        ge=0,
        le=MAX_RESULT_BYTES,
        description="Cap of `output` and of `error` in the result, in bytes each: head and tail "
        "are kept. Never more than the command was started with.",
        examples=[4096],
    )


class OutputQuery(Request):
    """Query of `GET /sandboxes/{sandbox_id}/commands/{request_id}/output`."""

    stream: Literal["stdout", "stderr"] | None = Field(
        None, description="Default: stdout; in an event stream both.", examples=["stdout"]
    )
    offset: Offset = Field(
        0,
        description="Where to begin: how many bytes of the stream the client has. In an event "
        "stream only together with `stream`.",
        examples=[0],
    )
    limit: int = Field(
        LONGEST_PIECE_BYTES,
        ge=1,
        le=LONGEST_PIECE_BYTES,
        description="Most bytes that one answer brings. Not for an event stream.",
        examples=[65536],
    )
    wait: Annotated[float, Field(allow_inf_nan=False)] = Field(
        0.0,
        ge=0,
        le=LONGEST_WAIT_S,
        description="Seconds to wait when there is nothing at the offset yet. Not for an event "
        "stream.",
        examples=[10],
    )
    stdout: Offset = Field(
        0, description="Event stream: bytes of stdout that the client has.", examples=[0]
    )
    stderr: Offset = Field(
        0, description="Event stream: bytes of stderr that the client has.", examples=[0]
    )
    encoding: Literal["utf-8", "base64"] | None = Field(
        None,
        description="Event stream: how `data` is written. Default: the command's own.",
        examples=["base64"],
    )


class TerminalQuery(TerminalSize):
    """Query of `/ws/{sandbox_id}/terminal`."""

    request_id: RequestId | None = Field(
        None,
        description="Clients that give the same one share a terminal, and a reload returns to it "
        "with its recent screen. Default: a terminal of one's own.",
        examples=["main"],
    )
