"""A command as far as its result needs it: from what started it, or from its agent."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.commands.command_spec import CommandSpec, Encoding
from gateway.errors import CommandLost
from gateway.schemas.command_event import Started
from gateway.schemas.models.commands import MAX_RESULT_BYTES


class Known(BaseModel):
    """`key` names it to its agent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    request_id: str
    command: str
    cap: Annotated[int, Field(ge=0, le=MAX_RESULT_BYTES)]
    encoding: Encoding
    checkpoint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    changes: bool = False


def known_of(started: Started | None, spec: CommandSpec | None) -> Known:
    """What it was started with, else what its agent has noted. Raises CommandLost when the agent,
    which may say anything, does not know it."""
    if spec is not None:
        return Known(
            key=spec.key,
            request_id=spec.request_id,
            command=spec.command,
            cap=spec.cap,
            encoding=spec.encoding,
        )
    try:
        return Known.model_validate(started.meta if started else {})
    except ValidationError as error:
        raise CommandLost("the agent does not know the command any more") from error
