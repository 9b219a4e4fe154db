"""From the settings to what the rules take."""

from __future__ import annotations

from gateway.engine.interface import Limits
from gateway.sandboxes.admission import Capacity
from gateway.sandboxes.options import Bounds
from gateway.settings import Settings


def bounds_of(settings: Settings) -> Bounds:
    """What clients get, and what they may ask for."""
    return Bounds(
        images=settings.allowed_images,
        isolation=settings.isolation,
        has_network=settings.network != "none",
        limits=Limits(
            memory_mb=settings.memory_mb,
            cpus=settings.cpus,
            pids=settings.pids,
            file_size_mb=settings.file_size_mb,
            disk_mb=settings.disk_mb,
        ),
        max_cpus=settings.max_cpus,
        max_memory_mb=settings.max_memory_mb,
        max_pids=settings.max_pids,
        max_disk_mb=settings.max_disk_mb,
        timeout_s=settings.timeout or None,
        max_timeout_s=settings.max_timeout,
        idle_timeout_s=settings.idle_timeout,
        max_idle_timeout_s=settings.max_idle_timeout,
    )


def capacity_of(settings: Settings) -> Capacity:
    """How many sandboxes there may be, and who waits."""
    return Capacity(
        sandboxes=settings.max,
        per_owner=settings.max_per_key,
        memory_overcommit=settings.memory_overcommit,
        memory_reserve_mb=settings.memory_reserve_mb,
        queue_size=settings.queue_size,
        queue_wait_s=settings.queue_wait,
        share=settings.share_per_key,
    )
