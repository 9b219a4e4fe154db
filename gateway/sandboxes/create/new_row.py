"""The row of a sandbox that begins now."""

from __future__ import annotations

import secrets

from gateway import clock
from gateway.sandboxes.spec.sandbox_spec import Recipe
from gateway.store.rows import SandboxRow


def new_row(
    recipe: Recipe, state: str, worker_id: str, *, owner: str = "", pool_key: str | None
) -> SandboxRow:
    """With an id of its own and all its times from now on; there is no container yet."""
    now = clock.boot_s()
    limits = recipe.limits
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
        image=recipe.image,
        isolation=recipe.isolation,
        network=recipe.network,
        cpus=limits.cpus,
        memory_mb=limits.memory_mb,
        pids=limits.pids,
        disk_mb=limits.disk_mb,
        pool_key=pool_key,
        labels=recipe.labels,
        timeout_s=recipe.timeout_s,
        expires=None if recipe.timeout_s is None else now + recipe.timeout_s,
        idle_timeout_s=recipe.idle_timeout_s,
        idle_action=recipe.idle_action,
    )
