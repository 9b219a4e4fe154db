"""Messages about commands: requests, results, and what passes on a WebSocket besides them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from gateway.models.base import Answer, Request

RequestId = Annotated[str, StringConstraints(max_length=256)]
Columns = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, lt=2**63)]

MAX_RESULT_BYTES = 16 * 1024 * 1024
LONGEST_TIMEOUT_S = 366 * 86400.0

_NO_NUL = r"^[^\x00]*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

Text = Annotated[str, StringConstraints(pattern=_NO_NUL)]


class TerminalSize(Request):
    """Columns and rows of a terminal."""

    cols: Columns = Field(80, examples=[80])
    rows: Columns = Field(24, examples=[24])


class CommandOptions(Request):
    """What a command may be given besides itself."""

    request_id: RequestId | None = Field(
        None,
        description="Comes back with the answer. A UUID4 is generated when it is missing.",
        examples=["optional-unique-id"],
    )
    timeout: float | None = Field(
        None,
        gt=0,
        le=LONGEST_TIMEOUT_S,
        description="Seconds. Then TERM to the whole process tree, KILL after a grace; the result "
        'has return code 124 and `"timed_out": true`.',
        examples=[30.0],
    )
    cwd: Annotated[str, StringConstraints(pattern=_NO_NUL, max_length=4096)] | None = Field(
        None,
        description="Working directory, absolute or below the user's home, which is the default.",
        examples=["/tmp"],  # noqa: S108  (in the sandbox)
    )
    env: dict[Annotated[str, StringConstraints(pattern=_VARIABLE)], Text] | None = Field(
        None, description="Extra environment variables.", examples=[{"GREETING": "hello"}]
    )
    stdin: str | None = Field(
        None,
        description="Text that is written to stdin, then its end. Without it stdin is empty.",
        examples=["text\n"],
    )
    interactive: bool = Field(
        False, description="Stdin stays open for `stdin` messages.", examples=[False]
    )
    tty: TerminalSize | None = Field(
        None, description="Run on a pseudo-terminal: stdout and stderr merge."
    )
    session: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = Field(
        None,
        description="Name of a stateful shell: directory, variables and functions persist between "
        "its commands, which run one after the other.",
        examples=["main"],
    )
    encoding: Literal["utf-8", "base64"] = Field(
        "utf-8",
        description="How output is written in messages. `utf-8`: a character is never split, "
        "bytes that are none become U+FFFD. `base64`: byte-exact.",
    )
    max_output_bytes: int | None = Field(
        None,
        ge=0,
        le=MAX_RESULT_BYTES,
        description="Cap of `output` and of `error` in the result, in bytes each: head and tail "
        "are kept. Default: 8 MiB.",
        examples=[65536],
    )
    once: bool = Field(
        False,
        description="`request_id` is an idempotency key: sent again, the command never runs "
        "twice; the answer is that of the first.",
    )

    @field_validator("once")
    @classmethod
    def _needs_an_id(cls, once: bool, info: Any) -> bool:
        if once and not info.data.get("request_id"):
            raise ValueError("`once` needs a request_id")
        return once

    @field_validator("session")
    @classmethod
    def _excludes_a_terminal(cls, session: str | None, info: Any) -> str | None:
        if session is not None and info.data.get("tty") is not None:
            raise ValueError("a session has no terminal")
        return session


class CommandRequest(CommandOptions):
    """Text frame from a client on `/ws/{sandbox_id}`: run a command."""

    command: Text = Field(
        description="Run by the sandbox's shell, `/bin/bash -c` or else `/bin/sh -c`, each in a "
        "fresh shell.",
        examples=["ls -la"],
    )
    stream: bool = Field(
        False, description="Send output as it is produced, then the result.", examples=[False]
    )


class StdinMessage(Request):
    """Text frame from a client: input for a running command."""

    type: Literal["stdin"]
    request_id: RequestId
    data: str = Field("", examples=["yes\n"])
    eof: bool = Field(False, description="This is the end of the input.")
    encoding: Literal["utf-8", "base64"] = Field("utf-8", description="How `data` is written.")


class SignalMessage(Request):
    """Text frame from a client: a signal for a running command's whole process tree."""

    type: Literal["signal"]
    request_id: RequestId
    signal: Annotated[str, StringConstraints(pattern="^(SIG)?[A-Z0-9+]{2,10}$")] = Field(
        examples=["INT"]
    )


class ResizeMessage(Request):
    """Text frame from a client: the size of a running command's terminal.

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


class Truncated(Answer):
    """True sizes of outputs of which only head and tail were kept."""

    output_bytes: int = Field(ge=0, examples=[1073741824])
    error_bytes: int = Field(ge=0, examples=[0])


class CommandResult(Answer):
    """Text frame to the client: one per command, in the order in which commands finish.

    The last five fields are there only where they say something.
    """

    request_id: str = Field(examples=["optional-unique-id"])
    command: str = Field(examples=["ls -la"])
    success: bool = Field(description="`returncode == 0`.", examples=[True])
    output: str = Field(
        description="Standard output. Bytes that are not UTF-8 become U+FFFD.",
        examples=["total 0\n"],
    )
    error: str = Field(
        description="Standard error or, when the command could not be run, why.", examples=[""]
    )
    returncode: int = Field(
        description="As shells report it: 127 not found, 126 not executable, 128+n killed by "
        "signal n, 124 timed out.",
        examples=[0],
    )
    timestamp: str = Field(
        description="When the command finished: local time, ISO 8601, milliseconds.",
        examples=["2023-03-27T12:34:56.789"],
    )
    type: Literal["result"] | None = Field(None, description="With streamed and attached commands.")
    truncated: Truncated | None = Field(
        None, description="When output or error was longer than its cap."
    )
    timed_out: Literal[True] | None = Field(None, description="When the timeout ended it.")
    session_ended: Literal[True] | None = Field(
        None,
        description="When the session's shell ended with this command (`exit`, `exec`, a timeout): "
        "the session's next command starts a new one.",
    )


class CommandStarted(Answer):
    """Text frame to the client: a streamed or attached command runs."""

    type: Literal["started"] = Field(examples=["started"])
    request_id: str = Field(examples=["r1"])
    pid: int = Field(description="Process id inside the sandbox.", examples=[42])


class OutputPiece(Answer):
    """Text frame to the client: output of a streamed or attached command."""

    type: Literal["stdout", "stderr"] = Field(examples=["stdout"])
    request_id: str = Field(examples=["r1"])
    offset: int = Field(ge=0, description="Raw bytes before it in the stream.", examples=[0])
    data: str = Field(examples=["hello\n"])


class OutputGap(Answer):
    """Text frame to the client: this part of the output is not kept any more."""

    type: Literal["gap"] = Field(examples=["gap"])
    request_id: str = Field(examples=["r1"])
    stream: Literal["stdout", "stderr"] = Field(examples=["stdout"])
    from_: int = Field(alias="from", ge=0, description="First byte lost.", examples=[0])
    to: int = Field(ge=0, description="First byte that follows.", examples=[1048576])


class CommandSummary(Answer):
    """A command, running or finished lately."""

    request_id: str = Field(examples=["r1"])
    command: str = Field(description="At most 200 characters of it.", examples=["ls -la"])
    status: Literal["running", "finished"] = Field(examples=["running"])
    pid: int | None = Field(description="Null before it has started.", examples=[42])
    started_at: float | None = Field(
        description="Seconds since the epoch.", examples=[1648371234.567]
    )
    returncode: int | None = Field(description="Null while it runs.", examples=[None])
    session: str | None = Field(examples=[None])
    stdout_bytes: int = Field(ge=0, description="Written to stdout so far.", examples=[0])
    stderr_bytes: int = Field(ge=0, description="Written to stderr so far.", examples=[0])


class CommandList(Answer):
    """Text frame to the client: answer to `list`, oldest first."""

    type: Literal["commands"] = Field(examples=["commands"])
    commands: list[CommandSummary]


class Pong(Answer):
    """Text frame to the client: answer to `ping`."""

    type: Literal["pong"] = Field(examples=["pong"])
    request_id: str | None = Field(None, description="That of the `ping`.")


class SocketError(Answer):
    """Text frame to the client: a request on this connection could not be served."""

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


class SandboxEnded(Answer):
    """Last text frame to the client, then the connection is closed with 1001."""

    type: Literal["ended"] = Field(examples=["ended"])
    reason: str = Field(
        description="`deleted`, `idle`, `exited`, `oom` or `engine_lost`.", examples=["deleted"]
    )
