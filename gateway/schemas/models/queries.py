"""What a query may say, by route. Its values are texts: `"10"` counts as a number."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.link.users import User
from gateway.schemas.models.base import Request
from gateway.schemas.models.commands import MAX_RESULT_BYTES, Offset, RequestId, TerminalSize
from gateway.schemas.models.labels import LabelFilters, by_name
from gateway.schemas.models.sandboxes import ID_OR_NAME_PATTERN, SandboxStatus

LONGEST_PIECE_BYTES = 1024 * 1024
LONGEST_WAIT_S = 60.0


class SandboxQuery(Request):
    """Query of `GET /sandboxes`."""

    status: SandboxStatus | None = Field(
        None, description="Only sandboxes that have it.", examples=["idle"]
    )
    label: LabelFilters | None = Field(
        None,
        description="`name=value`; given several times, all of them must fit.",
        examples=[["team=blue"]],
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Most sandboxes in the answer; `Link` then leads to the next ones.",
        examples=[100],
    )
    after: Annotated[str, Field(pattern=ID_OR_NAME_PATTERN)] | None = Field(
        None,
        description="Id of the last sandbox that the client has, or its name while it lives.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )

    @property
    def labels(self) -> dict[str, str]:
        """By name."""
        return by_name(self.label)


class EventQuery(Request):
    """Query of `GET /events` and `GET /sandboxes/{sandbox_id}/events`."""

    after: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Id of the last event that the client has. In an event stream the header "
        "`Last-Event-ID` takes precedence.",
        examples=[17],
    )
    limit: int = Field(
        1000, ge=1, le=1000, description="Most events in the answer.", examples=[100]
    )


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
    user: User = Field(
        "user",
        description="Whose: `user` or, in a sandbox made with `root`, `root`.",
        examples=["user"],
    )
