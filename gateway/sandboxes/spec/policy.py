"""What clients get where they do not say, and the most that they may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.engine.interface import Isolation, Limits
from gateway.settings import Settings


@dataclass(frozen=True)
class Policy:
    """Defaults and maxima, from the settings. A maximum of 0 is what the host has."""

    images: tuple[str, ...]
    isolation: Isolation
    has_network: bool
    may_have_root: bool
    limits: Limits
    max_cpus: float
    max_memory_mb: int
    max_pids: int
    max_disk_mb: int
    timeout_s: float | None
    max_timeout_s: float
    idle_timeout_s: float
    max_idle_timeout_s: float
    templates: Mapping[str, str] = field(default_factory=dict)
    """Images by the names that clients call them by. They may ask for the images too."""


def policy_of(settings: Settings) -> Policy:
    """What clients get, and what they may ask for."""
    return Policy(
        images=settings.allowed_images,
        isolation=settings.isolation,
        has_network=settings.network != "none",
        may_have_root=settings.allow_root,
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
        templates=settings.own_templates,
    )
