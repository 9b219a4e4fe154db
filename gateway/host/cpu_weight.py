"""Whose sandboxes the kernel runs first: those of owners who leave it time.

The kernel shares the CPU out among containers. Who has twenty that compute would get twenty times
what somebody with one gets. So the weight of an owner is divided by the number of its sandboxes.

That is not enough for who runs a short command now and then: each of its steps waits for its turn
among all that compute, a hundred milliseconds at a time beside shells that fork without an end. So
where there are several owners, one that takes little weighs four times as much as the kernel's
usual, and one that takes more than its part a quarter of it. The gateway itself, at its nice value,
weighs more than either, other programs of the host are between them, and nobody is held back while
nobody else wants to run. Where no keys are configured each sandbox counts as an owner.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gateway.host import programs
from gateway.host.cpu_groups import CpuGroup, group_of

log = logging.getLogger(__name__)

QUIET = 4.0
BUSY = 1 / 4
"""Of the usual weight: for an owner who takes little, and for one who takes more than its part."""

HALF_S = 2.0
"""Seconds after which an owner's use counts half."""

_ACTIVE = 0.05
"""CPUs: who uses less takes part in no division."""


class Sandbox(Protocol):
    """A live one."""

    @property
    def owner(self) -> str: ...

    @property
    def container_id(self) -> str | None: ...

    @property
    def pid(self) -> int | None: ...


class CpuWeights:
    """`live` gives the live sandboxes; `may_write` whether their groups are this host's; `now`
    monotonic seconds; `group` finds a container's group by its id and its first process."""

    def __init__(
        self,
        live: Callable[[], Sequence[Sandbox]],
        may_write: Callable[[], bool],
        *,
        cpus: int = os.cpu_count() or 1,
        now: Callable[[], float] = time.monotonic,
        group: Callable[[str, int], CpuGroup | None] | None = None,
    ) -> None:
        self._live = live
        self._may_write = may_write
        self._cpus = cpus
        self._now = now
        self._group_of = group or _group_of
        self._groups: dict[str, CpuGroup] = {}
        self._used_s: dict[str, float] = {}
        self._uses: dict[str, float] = {}
        """By owner: CPUs, of late."""
        self._looked_at = now()

    def balance(self) -> None:
        """Look at what was used, and write the weights that have changed."""
        if not (programs.is_root() and self._may_write()):
            return
        owners = {
            sandbox.container_id: sandbox.owner or sandbox.container_id
            for sandbox in self._live()
            if sandbox.container_id and self._finds(sandbox.container_id, sandbox.pid)
        }
        for known in set(self._groups) - set(owners):
            self._forget(known)
        weights = self._weights(owners)
        counts = Counter(owners.values())
        for container_id, owner in owners.items():
            # Looked at each time: a container that is started again has a group like a new one.
            self._write(container_id, weights[owner] / counts[owner])

    def _finds(self, container_id: str, pid: int | None) -> bool:
        if container_id not in self._groups and pid:
            group = self._group_of(container_id, pid)
            if group is not None:
                self._groups[container_id] = group
        return container_id in self._groups

    def _weights(self, owners: Mapping[str, str]) -> dict[str, float]:
        """By owner. Busy is who has used more than half of an equal part of the machine's CPUs:
        with two who take all they can get, both; beside somebody who takes little, only the
        other."""
        seconds = max(self._now() - self._looked_at, 1e-3)
        self._looked_at += seconds
        latest = dict.fromkeys(owners.values(), 0.0)
        for container_id, owner in owners.items():
            latest[owner] += self._used_since(container_id) / seconds
        kept = 0.5 ** (seconds / HALF_S)
        # At once when it rises, and with the time when it falls.
        self._uses = {
            owner: max(use, kept * self._uses.get(owner, 0.0)) for owner, use in latest.items()
        }
        if len(self._uses) < 2:
            return dict.fromkeys(self._uses, 1.0)
        active = sum(1 for use in self._uses.values() if use > _ACTIVE)
        part = self._cpus / max(2, active)
        return {owner: BUSY if use > part / 2 else QUIET for owner, use in self._uses.items()}

    def _used_since(self, container_id: str) -> float:
        """CPU seconds since it was looked at before."""
        try:
            used_s = self._groups[container_id].used_s()
        except (OSError, ValueError, IndexError) as error:
            log.debug("the CPU time of container %.12s is not known: %s", container_id, error)
            return 0.0
        before = self._used_s.get(container_id, used_s)
        self._used_s[container_id] = used_s
        return max(0.0, used_s - before)  # it begins at 0 when the container is started again

    def _write(self, container_id: str, part: float) -> None:
        try:
            self._groups[container_id].set_weight(part)
        except OSError as error:  # it may have ended
            log.debug("the CPU weight of container %.12s was not set: %s", container_id, error)

    def _forget(self, container_id: str) -> None:
        del self._groups[container_id]
        self._used_s.pop(container_id, None)


def _group_of(container_id: str, pid: int) -> CpuGroup | None:
    """None when the process is not that container's any more."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    return group_of(groups) if container_id in groups else None
