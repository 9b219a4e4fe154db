"""A sandbox as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import clock
from gateway.sandboxes.spec.sandbox_spec import option_of, shown
from gateway.schemas.models import Sandbox, SandboxStatus
from gateway.store.rows import SandboxRow


class SandboxView(Sandbox):
    """What clients are shown, and what surfaces want to know besides."""

    notes: Mapping[str, Any] = {}
    """What the surface that it was made by keeps with it."""
    snapshot: str | None = None
    """Whose files it began with."""
    ends_at: float | None = None
    """As `expires_at`, but reckoned from its creation: while nobody changes it, it stays the same
    to the last digit, whatever becomes of the clock."""


def status_of(row: SandboxRow) -> SandboxStatus:
    """What a row alone tells."""
    if row.state == "starting":
        return "starting"
    if row.state == "paused" or (row.state == "held" and row.hold_returns_to == "paused"):
        return "paused"
    return "connected" if row.is_connected else "idle"


def view_of(row: SandboxRow, status: SandboxStatus | None = None) -> SandboxView:
    """The view of a row; `status` where the engine knows better."""
    expires_at = None
    if row.expires is not None:
        expires_at = round(clock.wall_s() + row.expires - clock.boot_s(), 3)
    # Not validated: a list may have thousands, and the values are the store's.
    return SandboxView.model_construct(
        sandbox_id=row.sandbox_id,
        status=status or status_of(row),
        created_at=row.created_at,
        ip_address=row.ip_address,
        expires_at=expires_at,
        **{**shown(row), "labels": row.labels or {}},
        notes=option_of(row, "notes"),
        snapshot=option_of(row, "snapshot"),
        ends_at=None if row.expires is None else round(row.created_at + row.expires - row.born, 3),
    )
