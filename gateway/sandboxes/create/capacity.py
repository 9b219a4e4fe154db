"""How many sandboxes the host bears, and one owner may have."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engine.interface import EngineHost
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.settings import Settings
from gateway.store.room import Limits

MIB = 1024 * 1024


@dataclass(frozen=True)
class Capacity:
    """From the settings. `sandboxes` and `per_owner` 0: no limit."""

    sandboxes: int
    per_owner: int
    memory_overcommit: float
    memory_reserve_mb: int
    queue_size: int
    queue_wait_s: float
    share: float = 1.0
    """Of the host and of the queue: the part that one owner may have while there are others."""


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


def host_limits(capacity: Capacity, host: EngineHost, owner: Owner) -> Limits:
    """What the settings, the host's memory and the owner's own limits come to."""
    per_owner = owner.max_sandboxes if owner.max_sandboxes is not None else capacity.per_owner
    sandboxes = capacity.sandboxes or None
    # Where the operator gives a number, that number rules.
    memory_mb = None if sandboxes else int(host.memory_bytes / MIB * capacity.memory_overcommit)
    share = share_of(capacity, owner)
    return Limits(
        sandboxes=sandboxes,
        memory_mb=memory_mb,
        # Likewise where he says what this owner may have.
        share_sandboxes=None if per_owner else part_of(sandboxes, share),
        share_memory_mb=None if owner.max_memory_mb else part_of(memory_mb, share),
        of_owner=per_owner or None,
        cpus_of_owner=owner.max_cpus,
        memory_mb_of_owner=owner.max_memory_mb,
    )


def share_of(capacity: Capacity, owner: Owner) -> float:
    """The part that the owner may have of the host and of the queue."""
    return capacity.share if owner.has_neighbours else 1.0


def part_of(whole: int | None, share: float) -> int | None:
    """A share of a number, at least one. None: no limit."""
    return None if whole is None or share >= 1 else max(1, int(whole * share))


def free_memory_mb(meminfo: str) -> int | None:
    """What proc(5) calls MemAvailable, in MiB; None when it does not say."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    return None
