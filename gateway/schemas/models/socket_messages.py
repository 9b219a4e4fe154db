"""What passes on a WebSocket besides requests and results; event streams carry some of it too."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.models.base import Answer, Request, left_out_when_none
from gateway.schemas.models.commands import (
    Columns,
    CommandInput,
    CommandSignal,
    Offset,
    RequestId,
    Sized,
)
from gateway.schemas.models.results import CommandSummary


class StdinMessage(CommandInput):
    """Text frame from a client: input for a running command."""

    type: Literal["stdin"]
    request_id: RequestId


class SignalMessage(CommandSignal):
    """Text frame from a client: a signal for a running command's whole process tree."""

    type: Literal["signal"]
    request_id: RequestId


class ResizeMessage(Sized):
    """Text frame from a client: the size of a running command's terminal.

    0 × 0 stands for 80 × 24.

    On `/ws/{sandbox_id}/terminal` there is only one command, and `request_id` is not needed.
    """

    type: Literal["resize"]
    request_id: RequestId = ""
    cols: Columns = Field(examples=[120])
    rows: Columns = Field(examples=[40])


class AttachMessage(Request):
    """Text frame from a client: follow a command, running or finished, from these offsets."""

    type: Literal["attach"]
    request_id: RequestId
    stdout: Offset = Field(0, description="Bytes of stdout that the client has.", examples=[0])
    stderr: Offset = Field(0, description="Bytes of stderr that the client has.", examples=[0])
    encoding: Literal["utf-8", "base64"] | None = Field(
        None, description="Default: the command's own."
    )


class ListMessage(Request):
    """Text frame from a client: which commands are there?"""

    type: Literal["list"]
    request_id: RequestId | None = None


class PingMessage(Request):
    """Text frame from a client: is somebody there?"""

    type: Literal["ping"]
    request_id: RequestId | None = None


class CommandStarted(Answer):
    """Text frame to the client, or event: a streamed or attached command runs."""

    type: Literal["started"] = Field(examples=["started"])
    request_id: str = Field(examples=["r1"])
    pid: int = Field(description="Process id inside the sandbox.", examples=[42])


class OutputPiece(Answer):
    """Text frame to the client, or event: output of a streamed or attached command."""

    type: Literal["stdout", "stderr"] = Field(examples=["stdout"])
    request_id: str = Field(examples=["r1"])
    offset: int = Field(ge=0, description="Raw bytes before it in the stream.", examples=[0])
    data: str = Field(examples=["hello\n"])


class OutputGap(Answer):
    """Text frame to the client, or event: this part of the output is not kept any more."""

    type: Literal["gap"] = Field(examples=["gap"])
    request_id: str = Field(examples=["r1"])
    stream: Literal["stdout", "stderr"] = Field(examples=["stdout"])
    from_: int = Field(alias="from", ge=0, description="First byte lost.", examples=[0])
    to: int = Field(ge=0, description="First byte that follows.", examples=[1048576])


class CommandList(Answer):
    """Text frame to the client: answer to `list`, oldest first."""

    type: Literal["commands"] = Field(examples=["commands"])
    commands: list[CommandSummary]


class Pong(Answer):
    """Text frame to the client: answer to `ping`."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    type: Literal["pong"] = Field(examples=["pong"])
    request_id: str | None = Field(None, description="That of the `ping`.")


class SocketError(Answer):
    """Text frame to the client: a request on this connection could not be served.

    In an event stream: the command cannot be followed any further, and the stream ends.
    """

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    type: Literal["error"] = Field(examples=["error"])
    code: str = Field(
        description="Stable and machine-readable, the same codes as in problem documents.",
        examples=["bad_request"],
    )
    message: str = Field(description="Localised.", examples=["The request is not valid"])
    detail: str = Field("", description="English, for debugging.")
    request_id: str | None = Field(
        None, description="Which request, where it could be read.", examples=["r1"]
    )


class SandboxRestored(Answer):
    """Text frame to the client: the sandbox was brought back to a snapshot. Its processes and
    sessions have ended; the connection stays usable."""

    type: Literal["restored"] = Field(examples=["restored"])
    snapshot_id: str = Field(examples=["0c9a3e5b7d1f4c62a8e0b4d6f8123456"])


class SandboxEnded(Answer):
    """Last text frame to the client, then the connection is closed with 1001; or last event."""

    type: Literal["ended"] = Field(examples=["ended"])
    reason: str = Field(
        description="`deleted`, `idle`, `exited`, `oom` or `engine_lost`.", examples=["deleted"]
    )
