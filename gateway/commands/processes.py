"""What runs in a sandbox and how it was started, as its agent says: checked, for it may say
anything.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import CommandLost

MOST = 200
"""The latest are told."""

_LONGEST_COMMAND = 200


class RunningProcess(BaseModel):
    """`argv` is None where a shell was given `command`, of which the beginning is told; of words
    and variables that are too long for a list, nothing is."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    pid: int = Field(ge=0, lt=2**31)
    tag: str | None
    command: Annotated[str, Field(max_length=_LONGEST_COMMAND)]
    argv: list[str] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None


def processes_in(event: dict[str, Any]) -> list[RunningProcess]:
    """Those in an agent's answer to `processes`. Raises CommandLost when it makes no sense."""
    told = event.get("processes")
    if not isinstance(told, list) or len(told) > MOST:
        raise CommandLost("the agent does not say what runs")
    try:
        return [RunningProcess.model_validate(one) for one in told]
    except ValidationError as error:
        raise CommandLost("the agent's list of processes makes no sense") from error
