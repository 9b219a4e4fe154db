"""A running container whose row was lost, as a sandbox again."""

from __future__ import annotations

from dataclasses import replace

from gateway import clock
from gateway.engine.interface import ContainerInfo
from gateway.sandboxes.spec.container_labels import Origin, uid_of
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec, recalled, stored
from gateway.store.rows import SandboxRow


def adopted(origin: Origin, container: ContainerInfo, default: SandboxSpec) -> SandboxRow:
    """Its new row; what its labels do not say is as `default` has it.

    A sandbox from the pool has the labels of the pool: what its client asked for is lost.
    """
    now = clock.boot_s()
    # Containers of versions that had no disk limit do not say that they have none.
    spec = recalled(origin.notes, replace(default, disk_mb=None))
    spec = replace(spec, network="bridge" if container.ip_address else "none")
    born = now - max(0.0, clock.wall_s() - origin.created_at)
    return SandboxRow(
        sandbox_id=origin.sandbox_id,
        state="paused" if container.state == "paused" else "ready",
        container_id=container.container_id,
        worker_id=None,
        created_at=origin.created_at,
        ip_address=container.ip_address,
        idle_since=now,
        boot_id=clock.boot_id(),
        end_reason=None,
        lease_count=0,
        uid=uid_of(container.labels),
        owner=str(origin.notes.get("owner", "")),
        born=born,
        expires=None if spec.timeout_s is None else born + spec.timeout_s,
        **stored(spec),
    )
