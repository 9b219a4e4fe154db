"""A bound on how fast a sandbox writes to its own disk, in the control group of its container."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

from gateway.errors import HostToolFailed
from gateway.settings import MIB

log = logging.getLogger(__name__)

_GROUPS = Path("/sys/fs/cgroup")


class Container(Protocol):
    """One that has just been started."""

    @property
    def pid(self) -> int | None: ...

    @property
    def layer(self) -> str | None: ...


class DiskRate:
    """`mib_per_s` for each container that has a disk of its own; 0 is no limit.

    The rule is about one device in the container's own group, and goes with that: the device is
    another's afterwards. What the kernel still writes for a container that is gone is not held up.
    """

    def __init__(self, mib_per_s: int) -> None:
        self._bytes_per_s = mib_per_s * MIB

    def before_start(self, container: Container) -> None:
        """Its group is not there yet."""

    def after_start(self, container: Container) -> None:
        """Raises HostToolFailed."""
        layer = container.layer
        if not self._bytes_per_s or container.pid is None or layer is None:
            return
        try:
            if not os.path.ismount(layer):
                return
            groups = Path(f"/proc/{container.pid}/cgroup").read_text()
            path, rule = rule_of(groups, os.stat(layer).st_dev, self._bytes_per_s)
            path.write_text(rule)
        except FileNotFoundError as error:
            # Not every kernel has it; the disk is bounded in size all the same.
            log.info("the speed of a sandbox's disk is not limited: %s", error)
        except OSError as error:
            raise HostToolFailed(f"cannot limit the speed of a disk: {error}") from error


def rule_of(groups: str, device: int, bytes_per_s: int) -> tuple[Path, str]:
    """Where a rule for a block device is written, and the rule; `groups` is /proc/[pid]/cgroup of
    a process. Version 1 has it in the hierarchy of `blkio`, version 2 in `io.max`."""
    number = f"{os.major(device)}:{os.minor(device)}"
    unified = "/"
    for line in groups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if "blkio" in controllers.split(","):
            place = _GROUPS / "blkio" / path.lstrip("/")
            return place / "blkio.throttle.write_bps_device", f"{number} {bytes_per_s}"
        if hierarchy == "0":
            unified = path
    return _GROUPS / unified.lstrip("/") / "io.max", f"{number} wbps={bytes_per_s}"
