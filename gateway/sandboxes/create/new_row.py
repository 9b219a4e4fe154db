"""The row of a sandbox that begins now."""

from __future__ import annotations

import secrets

from gateway import clock
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec, stored
from gateway.store.rows import SandboxRow


def new_row(
    spec: SandboxSpec,
    state: str,
    worker_id: str,
    *,
    owner: str = "",
    pool_key: str | None,
    origin: str | None = None,
) -> SandboxRow:
    """With an id of its own and all its times from now on; there is no container yet. `origin` is
    that of the snapshot whose files it begins with."""
    now = clock.boot_s()
    return SandboxRow(
        sandbox_id=secrets.token_hex(16),
        state=state,
        container_id=None,
        worker_id=worker_id,
        created_at=clock.wall_s(),
        ip_address=None,
        idle_since=now,
        boot_id=clock.boot_id(),
        end_reason=None,
        lease_count=0,
        owner=owner,
        born=now,
        pool_key=pool_key,
        origin=origin,
        expires=None if spec.timeout_s is None else now + spec.timeout_s,
        **stored(spec),
    )
