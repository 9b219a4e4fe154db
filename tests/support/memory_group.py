"""A memory control group of the test's own: want of memory is felt in it and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class MemoryGroup:
    """Holds processes to `limit_mb` together; in version 1 or 2 of control groups."""

    def __init__(self, name: str, limit_mb: int) -> None:
        is_v1 = (_V1 / "memory.limit_in_bytes").exists()
        self._path = (_V1 if is_v1 else _V2) / name
        self._path.mkdir()
        limit = "memory.limit_in_bytes" if is_v1 else "memory.max"
        (self._path / limit).write_text(str(limit_mb * 1024 * 1024))
        self._told = self._path / ("memory.oom_control" if is_v1 else "memory.events")
        self._taken: dict[int, str] = {}

    def take(self, pids: Iterable[int]) -> None:
        """Move processes in; what they start from now on is in it too."""
        for pid in pids:
            self._taken[pid] = str(self._path.parent) + _group_of(pid)
            (self._path / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """How many processes in it the kernel has ended for want of memory."""
        for line in self._told.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
        raise AssertionError(f"{self._told} tells no oom_kill")

    def close(self) -> None:
        """All processes go back to where they were, or to the root, and the group goes."""
        for pid in (self._path / "cgroup.procs").read_text().split():
            home = Path(self._taken.get(int(pid), str(self._path.parent)))
            try:
                (home / "cgroup.procs").write_text(pid)
            except OSError:
                continue  # it has just ended
        self._path.rmdir()


def _group_of(pid: int) -> str:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (number == "0" and not _V1.exists()):
            return path
    raise AssertionError(f"process {pid} is in no memory group")


def pids_like(pid: int) -> list[int]:
    """All processes in the memory group of a process: those of its container."""
    root = _V1 if _V1.exists() else _V2
    return [int(p) for p in (Path(f"{root}{_group_of(pid)}") / "cgroup.procs").read_text().split()]


def oom_score_adj(pid: int | str) -> int:
    """What the kernel adds, in thousandths of all memory, when it looks for whom to end."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
