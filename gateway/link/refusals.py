"""What an agent refuses, as the gateway's own errors."""

from __future__ import annotations

from typing import Any

from gateway.errors import (
    BadOffset,
    BadRequest,
    CommandFinished,
    CommandLost,
    CommandNotFound,
    GatewayError,
    LineTooLong,
    PortClosed,
    StdinNotOpen,
    TerminalMissing,
    TooManyCommands,
)
from gateway.link.exited import writable

_KINDS: dict[str, type[GatewayError]] = {
    "bad_request": BadRequest,
    "bad_offset": BadOffset,
    "command_finished": CommandFinished,
    "forgotten": CommandLost,
    "line_too_long": LineTooLong,
    "no_stdin": StdinNotOpen,
    "no_terminal": TerminalMissing,
    "other_user": BadRequest,
    "port_closed": PortClosed,
    "too_many_commands": TooManyCommands,
    "unknown_command": CommandNotFound,
}


LONGEST_DETAIL = 500
"""Characters."""


def refusal(event: dict[str, Any]) -> GatewayError:
    """The error behind a `refused` event; CommandLost when the agent says something unheard of."""
    code = event.get("code")
    kind = _KINDS.get(code, CommandLost) if isinstance(code, str) else CommandLost
    detail = event.get("detail")
    return kind(writable(detail[:LONGEST_DETAIL]) if isinstance(detail, str) else "")
