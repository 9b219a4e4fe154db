"""A running container whose row was lost, as a sandbox again."""

from __future__ import annotations

from gateway import clock
from gateway.engine.interface import ContainerInfo
from gateway.sandboxes.spec.container_labels import Origin, uid_of
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec
from gateway.store.rows import SandboxRow


def adopted(origin: Origin, container: ContainerInfo, default: SandboxSpec) -> SandboxRow:
    """Its new row; what its labels do not say is as `default` has it.

    A sandbox from the pool has the labels of the pool: what its client asked for is lost.
    """
    now, notes = clock.boot_s(), origin.notes
    born = now - max(0.0, clock.wall_s() - origin.created_at)
    timeout_s = notes.get("timeout_s", default.timeout_s)
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
        owner=str(notes.get("owner", "")),
        born=born,
        image=str(notes.get("image") or default.image),
        isolation=str(notes.get("isolation") or default.isolation),
        network="bridge" if container.ip_address else "none",
        cpus=float(notes.get("cpus") or default.limits.cpus),
        memory_mb=int(notes.get("memory_mb") or default.limits.memory_mb),
        pids=int(notes.get("pids") or default.limits.pids),
        disk_mb=notes.get("disk_mb"),
        labels=notes.get("labels", {}),
        timeout_s=timeout_s,
        expires=None if timeout_s is None else born + timeout_s,
        idle_timeout_s=float(notes.get("idle_timeout_s", default.idle_timeout_s)),
        idle_action=str(notes.get("idle_action", "delete")),
    )
