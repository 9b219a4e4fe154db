"""The 404 of a sandbox that has ended: it says when and why, and its last commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import clock
from gateway.errors import SandboxNotFound
from gateway.store.rows import SandboxRow


def not_found(
    sandbox_id: str, row: SandboxRow | None, commands_of: Callable[[str], list[dict[str, Any]]]
) -> SandboxNotFound:
    """The error for a sandbox that cannot be used; with its end record when it has ended, or is
    about to.

    `commands_of` gives its last commands.
    """
    error = SandboxNotFound(sandbox_id)
    if row is not None and row.state in ("removing", "ended"):
        error.members["ended"] = {
            "reason": row.end_reason or "deleted",
            "at": row.ended_at or clock.wall_s(),
            "detail": row.end_detail or _USUAL.get(row.end_reason or "", ""),
            "exit_code": row.exit_code,
            "last_commands": commands_of(sandbox_id),
        }
    return error


_USUAL = {
    "deleted": "a client deleted it",
    "idle": "nobody used it for its idle time",
    "timeout": "its lifetime was over",
}
