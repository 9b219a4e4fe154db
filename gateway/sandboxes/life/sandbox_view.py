"""A sandbox as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway import clock
from gateway.schemas.models import SandboxStatus
from gateway.store.rows import SandboxRow


@dataclass(frozen=True)
class SandboxView:
    """See `gateway.schemas.models.Sandbox`, which has the same fields."""

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
