"""What is sent on a WebSocket (`/ws/{sandbox_id}`) for a terminal."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

from ..models.commands import OutputGap
from .command_calls import CommandOptions, command_body

LOGIN_SHELL = "if [ -x /bin/bash ]; then exec /bin/bash -l; fi; exec /bin/sh -l"

LONGEST_MESSAGE_BYTES = 4 * 1024 * 1024
"""What httpx2 accepts of one message: 64 KiB, its default, is less than a piece of output."""

TERMINAL = "terminal-"
"""How names of terminals begin that were given none."""

KEYS_BYTES = 32 * 1024
"""Of one message."""


def terminal_start(
    command: str | list[str] | None, size: tuple[int, int], options: CommandOptions
) -> dict[str, Any]:
    """The command of a terminal; with a name that is known, that one is meant."""
    options = options.copy()
    options["tty"] = size
    options["request_id"] = options.get("request_id") or f"{TERMINAL}{uuid.uuid4()}"
    return command_body(LOGIN_SHELL if command is None else command, options) | {"stream": True}


def inputs(request_id: str, data: bytes) -> Iterator[dict[str, Any]]:
    """Keys."""
    for start in range(0, len(data), KEYS_BYTES):
        piece = base64.b64encode(data[start : start + KEYS_BYTES]).decode("ascii")
        yield {"type": "stdin", "request_id": request_id, "data": piece, "encoding": "base64"}


def resize(request_id: str, size: tuple[int, int]) -> dict[str, Any]:
    """The size of the screen."""
    return {"type": "resize", "request_id": request_id, "cols": size[0], "rows": size[1]}


def gap_text(gap: OutputGap) -> bytes:
    """A gap on the screen itself, where it is seen."""
    return f"\r\n[{gap.end - gap.start} bytes are not kept any more]\r\n".encode()
