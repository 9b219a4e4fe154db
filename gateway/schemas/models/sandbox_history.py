"""What happened to sandboxes, and how they ended."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.models.base import Answer

EndReason = Literal[
    "idle", "timeout", "deleted", "oom", "exited", "engine_lost", "disk", "create_failed"
]


class LastCommand(Answer):
    """One of the last commands of a sandbox that has ended."""

    request_id: str = Field(examples=["r1"])
    command: str = Field(description="At most 200 characters of it.", examples=["make test"])
    started_at: float = Field(examples=[1648371234.567])
    returncode: int | None = Field(
        description="Null when it was still running, as far as the gateway knows.", examples=[0]
    )
    output: str = Field(description="The end of what it wrote, as far as the gateway has seen it.")
    error: str = Field(description="Likewise, on stderr.")
    checkpoint: str | None = Field(
        None,
        description="Id of the snapshot that was taken before it; null where there is none.",
        examples=["0c9a3e5b7d1f4c62a8e0b4d6f8123456"],
    )


class Ended(Answer):
    """Why a sandbox is no more."""

    reason: EndReason = Field(examples=["idle"])
    at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    detail: str = Field(description="English.", examples=["nobody used it for 3600 s"])
    exit_code: int | None = Field(
        description="Of the container's first process, where it ended by itself.", examples=[None]
    )
    last_commands: list[LastCommand] = Field(description="Oldest first.")


class Event(Answer):
    """Something that happened to a sandbox."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: int = Field(description="Rises with time.", examples=[17])
    sandbox_id: str = Field(examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"])
    at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    event: str = Field(
        description="`created`, `adopted` (found again without its record), `updated` (with what "
        "was changed: `changed` names the fields, `labels_changed` up to 16 labels; `labels` up to "
        "1 KiB), `paused` (with `by`: `client`, `idle` or `engine`), `resumed`, `ending` "
        "(soon, with `reason` and `ends_at`), `oom` (the kernel killed something in it for want "
        "of memory), `snapshot` (with `snapshot_id`, `size_bytes` and `kind`), `restored` (with "
        "`snapshot_id`), `ended` (with `reason`).",
        examples=["created"],
    )
