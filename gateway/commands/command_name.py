"""How a command is named by those who ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pid:
    """The command whose process has this pid in its sandbox, or had it until half a minute ago."""

    number: int

    def __str__(self) -> str:
        return f"process with pid {self.number}"


@dataclass(frozen=True)
class Tag:
    """The latest command that was started with this tag, likewise."""

    text: str

    def __str__(self) -> str:
        return f"process with tag {self.text!r}"


Which = str | Pid | Tag
"""A text is the request_id."""


def fields_of(which: Which) -> dict[str, Any]:
    """The fields by which an agent finds it."""
    if isinstance(which, Pid):
        return {"pid": which.number}
    if isinstance(which, Tag):
        return {"tag": which.text}
    return {"request_id": which}
