"""What a container uses now, read from the kernel by its first process: cgroups(7), statvfs(3)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.host.cpu_groups import group_of

_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ContainerUse:
    """`cpu_s` since it began; the rest are bytes. `memory` is without `cache`."""

    cpu_s: float
    memory: int
    cache: int
    disk: int
    disk_size: int


def use_of(pid: int) -> ContainerUse:
    """Of the container whose first process this is, in about a millisecond. Raises OSError and
    ValueError where it has gone, or is none of this machine's."""
    groups = Path(f"/proc/{pid}/cgroup").read_text()
    used, cache = _memory(groups)
    disk = os.statvfs(f"/proc/{pid}/root")
    return ContainerUse(
        cpu_s=group_of(groups).used_s(),
        memory=max(0, used - cache),
        cache=cache,
        disk=(disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        disk_size=disk.f_blocks * disk.f_frsize,
    )


def _memory(groups: str) -> tuple[int, int]:
    """(all of it, page cache of files), in either version of control groups."""
    unified = "/"
    for line in groups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            place = _GROUPS / "memory" / path.lstrip("/")
            stat = _stat(place / "memory.stat")
            used = int((place / "memory.usage_in_bytes").read_text())
            return used, stat.get("total_cache", 0)
        if hierarchy == "0":
            unified = path
    place = _GROUPS / unified.lstrip("/")
    return int((place / "memory.current").read_text()), _stat(place / "memory.stat").get("file", 0)


def _stat(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in pairs}
