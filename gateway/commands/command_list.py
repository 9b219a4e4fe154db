"""The agent's list of commands, checked: it may say anything."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import CommandLost
from gateway.link.exited import LARGEST
from gateway.schemas.models import CommandSummary

LONGEST = 400
"""Of an agent's list: the last 200 commands, and 200 of those before that still run."""


def summaries_of(event: dict[str, Any]) -> list[CommandSummary]:
    """The commands in an agent's answer to `list`. Raises CommandLost when it makes no sense."""
    listed = event.get("commands")
    if not isinstance(listed, list) or len(listed) > LONGEST:
        raise CommandLost("the agent does not say what it runs")
    try:
        return [_summary(entry) for entry in listed]
    except (ValidationError, KeyError, TypeError) as error:
        raise CommandLost("the agent's list of commands makes no sense") from error


def _summary(entry: dict[str, Any]) -> CommandSummary:
    told = _Told.model_validate(entry)
    return CommandSummary.model_construct(
        request_id=told.request_id,
        command=told.command,
        status=told.status,
        pid=told.pid,
        started_at=told.started_at,
        returncode=told.returncode,
        session=told.session,
        stdout_bytes=told.stdout,
        stderr_bytes=told.stderr,
    )


class _Told(BaseModel):
    """A command as its agent tells of it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    request_id: str = Field(max_length=256)
    command: str = Field(max_length=200)
    status: Literal["running", "finished"]
    pid: int | None = Field(ge=0, lt=2**31)
    started_at: float | None = Field(ge=0, lt=1e11, strict=False)
    returncode: int | None = Field(ge=0, le=255)
    session: str | None = Field(max_length=64)
    stdout: int = Field(ge=0, lt=LARGEST)
    stderr: int = Field(ge=0, lt=LARGEST)
