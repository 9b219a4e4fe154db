"""What a sandbox uses now, and its limits."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.api.rest import answers
from gateway.api.rest.backend import SandboxService, SandboxView, Usage
from gateway.errors import EngineFault, SandboxBusy, SandboxNotFound, StoreUnavailable
from gateway.schemas.models import Amount, CpuUsage, NetworkUsage, SandboxStats
from gateway.schemas.route_documentation import Reply, documented

MIB = 1024 * 1024


def blueprint(sandboxes: SandboxService) -> Blueprint:
    """The route `/sandboxes/{sandbox_id}/stats`."""
    routes = Blueprint("sandbox_stats", __name__, url_prefix="/sandboxes/<sandbox_id>")

    @routes.get("/stats")
    @documented(
        summary="What a sandbox uses",
        description="CPU, memory, processes, disk and network: now, and what it may use. Takes "
        "about a second.",
        tag="Sandboxes",
        replies={200: Reply(SandboxStats)},
        errors=(SandboxNotFound, SandboxBusy, EngineFault, StoreUnavailable),
    )
    def stats(sandbox_id: str) -> Response:
        return answers.one(_stats(*sandboxes.usage(sandbox_id)))

    return routes


def _stats(usage: Usage, sandbox: SandboxView) -> SandboxStats:
    disk_limit = None if sandbox.disk_mb is None else sandbox.disk_mb * MIB
    disk = None
    if usage.disk_bytes is not None:
        disk = Amount(used=usage.disk_bytes, limit=disk_limit)
    return SandboxStats(
        cpu=CpuUsage(
            cores=round(usage.cpu_percent / 100, 4),
            limit=sandbox.cpus,
            total_s=round(usage.cpu_s, 3),
        ),
        memory_bytes=Amount(used=usage.memory_bytes, limit=sandbox.memory_mb * MIB),
        pids=Amount(used=usage.pids, limit=sandbox.pids),
        disk_bytes=disk,
        network=NetworkUsage(received_bytes=usage.received_bytes, sent_bytes=usage.sent_bytes),
    )
