"""What clients learn of commands: how they stand and how they ended."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.command_effects import Missing
from gateway.schemas.models.base import Answer, left_out_when_none
from gateway.schemas.models.changes import Changes


class Truncated(Answer):
    """True sizes of outputs of which only head and tail were kept."""

    output_bytes: int = Field(ge=0, examples=[1073741824])
    error_bytes: int = Field(ge=0, examples=[0])


class CommandResult(Answer):
    """How a command ended. On a WebSocket one text frame per command, in the order in which
    commands finish.

    The fields that are not required are there only where they say something.
    """

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

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
        description="When the session's shell ended with this command (`exit`, `exec`, KILL): the "
        "session's next command starts a new one. `error` says why, where it was not asked for.",
    )
    checkpoint: str | None = Field(
        None,
        description="Id of the snapshot that was taken before it, when that was asked for.",
        examples=["0c9a3e5b7d1f4c62a8e0b4d6f8123456"],
    )
    changes: Changes | None = Field(
        None, description="What the file system gained and lost, when that was asked for."
    )
    changes_missing: Missing | None = Field(
        None,
        description="Why there are no `changes` though they were asked for. `lost`: the gateway's "
        "worker that had seen the files before the command has gone, or the command's end was not "
        "known to it. `forgotten`: they are not kept any more or, with `once`, the first request "
        "did not ask for them. `failed`: the files could not be looked at.",
    )


class CommandAccepted(Answer):
    """A command that was started in the background."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    request_id: str = Field(examples=["r1"])
    status: Literal["running", "finished"] = Field(
        description="`finished` only with `once`, when it had ended before.", examples=["running"]
    )
    pid: int | None = Field(
        description="Process id inside the sandbox. Null where it waits for its session, or could "
        "not be run at all, which its result then tells.",
        examples=[42],
    )
    checkpoint: str | None = Field(
        None,
        description="Id of the snapshot that was taken before it, when that was asked for.",
        examples=["0c9a3e5b7d1f4c62a8e0b4d6f8123456"],
    )


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


class Command(CommandSummary):
    """A command, and how it ended."""

    result: CommandResult | None = Field(
        description="Null while it runs. Without `type`.", examples=[None]
    )
