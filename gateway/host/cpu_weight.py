"""An equal part of the CPU for each owner, however many sandboxes it has.

The kernel shares the CPU out among containers. Who has twenty that compute would get twenty times
what somebody with one gets, whose every command would wait behind them. So the weight of an owner
is divided by the number of its sandboxes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from gateway.host import programs

log = logging.getLogger(__name__)

_GROUPS = Path("/sys/fs/cgroup")

OF_AN_OWNER = {"cpu.shares": 1024, "cpu.weight": 100}
"""What the kernel gives a group by itself: version 1 of control groups, version 2."""

LEAST = {"cpu.shares": 2, "cpu.weight": 1}


class Sandbox(Protocol):
    """A live one."""

    @property
    def owner(self) -> str: ...

    @property
    def container_id(self) -> str | None: ...

    @property
    def pid(self) -> int | None: ...


class CpuWeights:
    """`live` gives the live sandboxes; `may_write` whether their groups are this host's."""

    def __init__(
        self, live: Callable[[], Sequence[Sandbox]], may_write: Callable[[], bool]
    ) -> None:
        self._live = live
        self._may_write = may_write
        self._counts: dict[str, int] = {}
        """By container: of its owner's sandboxes, when its weight was written last."""

    def balance(self) -> None:
        """Write the weights that have changed. Where no keys are configured nobody owns several."""
        if not (programs.is_root() and self._may_write()):
            return
        sandboxes = [s for s in self._live() if s.owner and s.container_id and s.pid]
        counts = Counter(sandbox.owner for sandbox in sandboxes)
        written = {}
        for sandbox in sandboxes:
            container_id, count = str(sandbox.container_id), counts[sandbox.owner]
            before = self._counts.get(container_id, 1)
            if before == count or _write(container_id, sandbox.pid or 0, count):
                written[container_id] = count
        self._counts = written


def _write(container_id: str, pid: int, count: int) -> bool:
    """Whether the weight of a container's group was written; it may have ended."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        if container_id not in groups:
            return False
        path, weight = weight_of(groups, count)
        path.write_text(str(weight))
        return True
    except OSError as error:
        log.debug("the CPU weight of container %.12s was not set: %s", container_id, error)
        return False


def weight_of(groups: str, count: int) -> tuple[Path, int]:
    """Where the weight of one of an owner's `count` sandboxes is written, and the weight; `groups`
    is /proc/[pid]/cgroup of a process in it (cgroups(7))."""
    unified = "/"
    for line in groups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return _GROUPS / "cpu" / path.lstrip("/") / "cpu.shares", _part("cpu.shares", count)
        if hierarchy == "0":
            unified = path
    return _GROUPS / unified.lstrip("/") / "cpu.weight", _part("cpu.weight", count)


def _part(name: str, count: int) -> int:
    return max(LEAST[name], OF_AN_OWNER[name] // max(1, count))
