"""What is told of an execution, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.errors import ProtocolBroken
from gateway.link.incoming import is_count

LARGEST_COUNT = 2**53
MOST_TYPES = 64
"""Of one result."""


@dataclass(frozen=True)
class Began:
    """The context has begun with it, as its `execution_count`th."""

    execution_count: int


@dataclass(frozen=True)
class Written:
    """To standard output or standard error."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Shown:
    """A result by MIME type. `is_main`: the value of the last expression."""

    data: dict[str, Any]
    is_main: bool


@dataclass(frozen=True)
class Failed:
    """The code has raised something, or could not go on."""

    name: str
    value: str
    traceback: str


Record = Began | Written | Shown | Failed


def record_of(line: bytes) -> Record | None:
    """None for what a later version tells. Raises ProtocolBroken: every byte is a tenant's."""
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ProtocolBroken("what code shows is no JSON") from None
    kind = told.get("type") if isinstance(told, dict) else None
    if kind == "begin" and is_count(told.get("execution_count"), LARGEST_COUNT):
        return Began(told["execution_count"])
    if kind in ("stdout", "stderr"):
        return Written(kind, _text(told, "text"))
    if kind == "error":
        return Failed(_text(told, "name"), _text(told, "value"), _text(told, "traceback"))
    if kind == "result":
        data = told.get("data")
        if not isinstance(data, dict) or len(data) > MOST_TYPES:
            raise ProtocolBroken("a result without its data")
        return Shown(data, told.get("is_main") is True)
    if not isinstance(kind, str):
        raise ProtocolBroken("what code shows has no type")
    return None


def _text(told: dict[str, Any], name: str) -> str:
    text = told.get(name)
    if not isinstance(text, str):
        raise ProtocolBroken(f"what code shows has no {name}")
    return text
