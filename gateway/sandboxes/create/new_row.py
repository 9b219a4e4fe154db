"""The row of a sandbox that begins now."""

from __future__ import annotations

import secrets

from gateway import clock
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec
from gateway.store.rows import SandboxRow


def new_row(
    spec: SandboxSpec, state: str, worker_id: str, *, owner: str = "", pool_key: str | None
) -> SandboxRow:
    """With an id of its own and all its times from now on; there is no container yet."""
    now = clock.boot_s()
    limits = spec.limits
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
        image=spec.image,
        isolation=spec.isolation,
        network=spec.network,
        cpus=limits.cpus,
        memory_mb=limits.memory_mb,
        pids=limits.pids,
        disk_mb=limits.disk_mb,
        pool_key=pool_key,
        labels=spec.labels,
        timeout_s=spec.timeout_s,
        expires=None if spec.timeout_s is None else now + spec.timeout_s,
        idle_timeout_s=spec.idle_timeout_s,
        idle_action=spec.idle_action,
    )
