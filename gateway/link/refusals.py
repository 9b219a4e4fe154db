"""What an agent refuses, as the gateway's own errors."""

from __future__ import annotations

from typing import Any

from gateway.errors import (
    AlreadyExists,
    BadArchive,
    BadMetadata,
    BadOffset,
    BadPath,
    BadRange,
    BadRequest,
    Changed,
    CommandFinished,
    CommandLost,
    CommandNotFound,
    ContextNotFound,
    ContextsMissing,
    FeatureMissing,
    FileFailed,
    GatewayError,
    IsDirectory,
    LineTooLong,
    NoSpace,
    NotAFile,
    NotDirectory,
    NotEmpty,
    PathNotFound,
    PermissionDenied,
    PortClosed,
    StdinNotOpen,
    TerminalMissing,
    TooLarge,
    TooManyCommands,
    TooManyContexts,
    TooManyExecutions,
    TooManyWatches,
    WatchNotFound,
)
from gateway.link.exited import writable

_KINDS: dict[str, type[GatewayError]] = {
    "already_exists": AlreadyExists,
    "bad_archive": BadArchive,
    "bad_metadata": BadMetadata,
    "bad_path": BadPath,
    "bad_range": BadRange,
    "bad_request": BadRequest,
    "bad_offset": BadOffset,
    "changed": Changed,
    "command_finished": CommandFinished,
    "failed": FileFailed,
    "forgotten": CommandLost,
    "is_directory": IsDirectory,
    "line_too_long": LineTooLong,
    "no_space": NoSpace,
    "no_stdin": StdinNotOpen,
    "not_a_file": NotAFile,
    "not_directory": NotDirectory,
    "not_empty": NotEmpty,
    "no_terminal": TerminalMissing,
    "other_user": BadRequest,
    "path_not_found": PathNotFound,
    "permission_denied": PermissionDenied,
    "too_large": TooLarge,
    "port_closed": PortClosed,
    "too_many_commands": TooManyCommands,
    "too_many_watches": TooManyWatches,
    "feature_missing": ContextsMissing,
    "too_many_contexts": TooManyContexts,
    "too_many_executions": TooManyExecutions,
    "unknown_command": CommandNotFound,
    "unknown_context": ContextNotFound,
    "unknown_operation": FeatureMissing,
    "unknown_watch": WatchNotFound,
}


LONGEST_DETAIL = 500
"""Characters."""


def refusal(event: dict[str, Any]) -> GatewayError:
    """The error behind a `refused` event; CommandLost when the agent says something unheard of."""
    code = event.get("code")
    kind = _KINDS.get(code, CommandLost) if isinstance(code, str) else CommandLost
    detail = event.get("detail")
    return kind(writable(detail[:LONGEST_DETAIL]) if isinstance(detail, str) else "")
