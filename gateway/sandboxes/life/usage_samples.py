"""What sandboxes used over time: a sample every few seconds, and those of the last hour kept.

One worker takes them for all; whichever is asked reads them. Of each sandbox there is a file of
records of one size: 48 bytes each, 70 KiB at most, and it goes with its sandbox. Rows of the store
would be a transaction every five seconds, which wakes every worker.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway import clock
from gateway.process.giving_way import give_way
from gateway.store.rows import SandboxRow

log = logging.getLogger(__name__)

EVERY_S = 5.0
KEPT = 720
"""Samples of one sandbox: an hour's. Twice as many are written before the older half is dropped."""

_RECORD = struct.Struct("<ddQQQQ")


class Use(Protocol):
    """What one container uses now; see `gateway.host.container_use.ContainerUse`."""

    @property
    def cpu_s(self) -> float: ...

    @property
    def memory(self) -> int: ...

    @property
    def cache(self) -> int: ...

    @property
    def disk(self) -> int: ...

    @property
    def disk_size(self) -> int: ...


@dataclass(frozen=True)
class Sample:
    """`at` is seconds since the epoch, `cpu_percent` of one core; the rest are bytes."""

    at: float
    cpu_percent: float
    memory: int
    cache: int
    disk: int
    disk_size: int


class UsageSamples:
    """Takes samples of the `live` sandboxes, by `use_of` of their first processes, and keeps them
    in `directory`."""

    def __init__(
        self,
        directory: Path,
        live: Callable[[], Sequence[SandboxRow]],
        use_of: Callable[[int], Use],
    ) -> None:
        self._directory = directory
        self._live = live
        self._use_of = use_of
        self._before: dict[str, tuple[float, float]] = {}
        """By sandbox: CPU seconds, and the boot time of then."""

    def take(self) -> None:
        """One of each sandbox that runs, and none of those that are no more. A container that is
        not this machine's has none. Raises StoreUnavailable."""
        rows = self._live()
        for row in rows:
            if row.state == "ready" and row.pid:
                self._take(row.sandbox_id, row.pid)
                give_way()  # a millisecond each, and there may be hundreds
        self._forget_all_but({row.sandbox_id for row in rows})

    def _take(self, sandbox_id: str, pid: int) -> None:
        now = clock.boot_s()
        try:
            use = self._use_of(pid)
        except (OSError, ValueError) as error:
            log.debug("no sample of sandbox %s: %s", sandbox_id, error)
            return
        cpu_s, at = self._before.get(sandbox_id, (use.cpu_s, now - EVERY_S))
        self._before[sandbox_id] = (use.cpu_s, now)
        percent = max(0.0, 100 * (use.cpu_s - cpu_s) / max(now - at, 0.001))
        record = _RECORD.pack(
            clock.wall_s(), percent, use.memory, use.cache, use.disk, use.disk_size
        )
        try:
            self._append(sandbox_id, record)
        except OSError as error:
            log.warning("cannot keep what sandboxes use: %s", error.strerror)

    def _append(self, sandbox_id: str, record: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / sandbox_id
        with path.open("ab") as file:
            file.write(record)
            size = file.tell()
        if size >= 2 * KEPT * _RECORD.size:
            last = path.read_bytes()[-KEPT * _RECORD.size :]
            fresh = path.with_suffix(".new")
            fresh.write_bytes(last)
            fresh.rename(path)

    def _forget_all_but(self, sandbox_ids: set[str]) -> None:
        for gone in self._before.keys() - sandbox_ids:
            del self._before[gone]
        try:
            there = os.listdir(self._directory)
        except FileNotFoundError:
            return
        for name in there:
            if name not in sandbox_ids:
                (self._directory / name).unlink(missing_ok=True)

    def of(self, sandbox_id: str) -> list[Sample]:
        """Those of a sandbox, oldest first; none where nothing is known."""
        try:
            written = (self._directory / sandbox_id).read_bytes()
        except OSError:
            return []
        whole = len(written) - len(written) % _RECORD.size
        return [Sample(*one) for one in _RECORD.iter_unpack(written[:whole])][-KEPT:]
