"""Where the kernel keeps a container's part of the CPU and what it has used of it: cgroups(7)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")

USUAL = {"cpu.shares": 1024, "cpu.weight": 100}
"""What the kernel gives a group by itself: version 1 of control groups, version 2."""

LEAST = {"cpu.shares": 2, "cpu.weight": 1}


@dataclass(frozen=True)
class CpuGroup:
    """The files of one group: its weight, in either version's unit, and the time that its
    processes have had."""

    weight: Path
    use: Path

    def set_weight(self, part: float) -> None:
        """A part of what a group has by itself; never less than the kernel takes. What is so
        already is not written. Raises OSError."""
        name = self.weight.name
        wanted = max(LEAST[name], int(USUAL[name] * part))
        if int(self.weight.read_text()) != wanted:
            self.weight.write_text(str(wanted))

    def part(self) -> float:
        """What `set_weight` was told, as far as the kernel's unit has it. Raises OSError."""
        return int(self.weight.read_text()) / USUAL[self.weight.name]

    def used_s(self) -> float:
        """CPU seconds since the group was made. Raises OSError."""
        text = self.use.read_text()
        if self.use.name == "cpuacct.usage":
            return int(text) / 1e9
        return int(text.split()[1]) / 1e6  # usage_usec comes first


def group_of(groups: str) -> CpuGroup:
    """`groups` is /proc/[pid]/cgroup of a process in it."""
    weight = used = None
    unified = "/"
    for line in groups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        place = path.lstrip("/")
        if "cpu" in controllers.split(","):
            weight = _GROUPS / "cpu" / place / "cpu.shares"
        if "cpuacct" in controllers.split(","):
            used = _GROUPS / "cpuacct" / place / "cpuacct.usage"
        if hierarchy == "0":
            unified = place
    if weight is not None and used is not None:
        return CpuGroup(weight, used)
    return CpuGroup(_GROUPS / unified / "cpu.weight", _GROUPS / unified / "cpu.stat")
