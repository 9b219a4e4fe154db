"""A sandbox as clients see it, and why one that they ask for is no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import clock
from gateway.errors import SandboxNotFound
from gateway.models import SandboxStatus
from gateway.store.rows import SandboxRow


@dataclass(frozen=True)
class SandboxView:
    """See `gateway.models.Sandbox`, which has the same fields."""

    sandbox_id: str
    status: SandboxStatus
    created_at: float
    ip_address: str | None
    image: str = ""
    isolation: str = "standard"
    network: str = "bridge"
    cpus: float = 0.0
    memory_mb: int = 0
    pids: int = 0
    disk_mb: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    expires_at: float | None = None
    idle_timeout: float = 3600.0
    idle_action: str = "delete"


def status_of(row: SandboxRow) -> SandboxStatus:
    """What a row alone tells."""
    if row.state == "starting":
        return "starting"
    if row.state == "paused":
        return "paused"
    return "connected" if row.lease_count else "idle"


def view_of(row: SandboxRow, status: SandboxStatus | None = None) -> SandboxView:
    """The view of a row; `status` where the engine knows better."""
    expires_at = None
    if row.expires is not None:
        expires_at = round(clock.wall_s() + row.expires - clock.boot_s(), 3)
    return SandboxView(
        sandbox_id=row.sandbox_id,
        status=status or status_of(row),
        created_at=row.created_at,
        ip_address=row.ip_address,
        image=row.image,
        isolation=row.isolation,
        network=row.network,
        cpus=row.cpus,
        memory_mb=row.memory_mb,
        pids=row.pids,
        disk_mb=row.disk_mb,
        labels=row.labels or {},
        timeout=row.timeout_s,
        expires_at=expires_at,
        idle_timeout=row.idle_timeout_s,
        idle_action=row.idle_action,
    )


def not_found(
    sandbox_id: str, row: SandboxRow | None, commands_of: Callable[[str], list[dict[str, Any]]]
) -> SandboxNotFound:
    """The error for a sandbox that cannot be used; with its certificate when it has ended, or is
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
