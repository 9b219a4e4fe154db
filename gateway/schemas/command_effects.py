"""What a command's result tells of files, where that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Missing = Literal["lost", "forgotten", "failed"]
"""Why it is not known what a command changed. `lost`: the gateway that had seen the files before
was stopped, or the command's end is not known to it. `forgotten`: it is not kept any more, or was
not asked for when the command was started. `failed`: the files could not be looked at."""


@dataclass(frozen=True)
class CommandEffects:
    """`checkpoint` is the id of the snapshot before it. `changes` are those of
    `gateway.schemas.models.Changes`, as JSON has them."""

    checkpoint: str | None = None
    changes: dict[str, Any] | None = None
    missing: Missing | None = None


NO_EFFECTS = CommandEffects()
