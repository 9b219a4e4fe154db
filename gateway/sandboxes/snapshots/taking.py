"""Taking snapshots: of what a sandbox has written, at one moment, while it goes on."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import ContainerGone, SandboxBusy, SandboxNotFound, SnapshotsMissing
from gateway.metrics import Metrics
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.snapshots.holding import Holding
from gateway.sandboxes.snapshots.host_side import HostSnapshots, SnapshotNames
from gateway.sandboxes.snapshots.keeping import Keeping
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import Kind, SnapshotRow, SnapshotStore


@dataclass(frozen=True)
class SnapshotLimits:
    """What one owner may have: so many snapshots, and so many bytes of them (0: no limit)."""

    most: int
    most_bytes: int


class Leases(Protocol):
    """Keeps a sandbox from being idle meanwhile."""

    def lease(self, sandbox_id: str, purpose: str) -> Any:
        """Raises SandboxNotFound, SandboxBusy and the engine's errors."""

    def release(self, lease: Any) -> None:
        """May be repeated."""


class Room(Protocol):
    """Knows whether the host's disk has room."""

    def check_room(self, more_bytes: int) -> None:
        """Whether so much more may be written. Raises DiskFull."""


class Taking:
    """Takes snapshots of sandboxes that have a disk of their own."""

    def __init__(
        self,
        store: SnapshotStore,
        keeping: Keeping,
        holding: Holding,
        check: SandboxCheck,
        leases: Leases,
        engine: Engine,
        host: HostSnapshots,
        names: SnapshotNames,
        room: Room,
        limits: SnapshotLimits,
        worker_id: str,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._keeping = keeping
        self._holding = holding
        self._check = check
        self._leases = leases
        self._engine = engine
        self._host = host
        self._names = names
        self._room = room
        self._limits = limits
        self._worker_id = worker_id
        self._metrics = metrics

    def take(
        self,
        sandbox_id: str,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        kind: Kind = "kept",
    ) -> SnapshotRow:
        """A snapshot that is there, whole. It belongs to the sandbox's owner.

        Raises SandboxNotFound, SandboxBusy, SnapshotsMissing, SnapshotNameTaken, TooManySnapshots,
        DiskFull, HostToolFailed, StoreUnavailable and the engine's errors.
        """
        self.demand(self._check.live(sandbox_id))
        lease = self._leases.lease(sandbox_id, "command")
        try:
            row = self._check.live(sandbox_id)
            wanted = self._wanted(row, name, labels or {}, kind)
            return self._take(row, wanted)
        except ContainerGone as gone:
            raise self._check.not_found(sandbox_id) from gone
        finally:
            self._leases.release(lease)

    def demand(self, row: SandboxRow) -> None:
        """Raises SnapshotsMissing where a sandbox cannot have snapshots, SandboxBusy for one that
        is just being created, and the engine's errors."""
        if row.state == "starting":
            raise SandboxBusy("it is being created")
        if row.isolation != "standard":
            raise SnapshotsMissing(f"there are none at isolation level {row.isolation}")
        if row.disk_mb is None or self._host.way() is None:
            raise SnapshotsMissing("it has no disk of its own")

    def _wanted(
        self, row: SandboxRow, name: str | None, labels: Mapping[str, str], kind: Kind
    ) -> SnapshotRow:
        assert row.disk_mb is not None
        return SnapshotRow(
            snapshot_id=secrets.token_hex(16),
            state="making",
            kind=kind,
            owner=row.owner,
            name=name,
            worker_id=self._worker_id,
            sandbox_id=row.sandbox_id,
            created_at=clock.wall_s(),
            image=row.image,
            image_id="",
            uid=row.uid,
            disk_mb=row.disk_mb,
            labels=labels,
        )

    def _take(self, row: SandboxRow, wanted: SnapshotRow) -> SnapshotRow:
        assert row.container_id is not None
        container = self._engine.inspect(row.container_id)
        if container.layer is None or container.image_id is None:
            raise SnapshotsMissing("the engine does not say where it keeps what the sandbox writes")
        self._room.check_room(self._host.expected_bytes(container.layer))
        wanted = replace(wanted, image_id=container.image_id)
        limits = self._limits
        for old in self._store.begin(wanted, most=limits.most, most_bytes=limits.most_bytes):
            self._keeping.finish_removal(old)
        try:
            taken = self._host.take(
                container.layer,
                self._names.of(wanted),
                self._holding.standing_still(row.sandbox_id, row.container_id),
            )
            created_at = clock.wall_s()
            if not self._store.mark_there(
                wanted.snapshot_id, size_bytes=taken.used_bytes, created_at=created_at
            ):
                raise SandboxNotFound(row.sandbox_id, "the snapshot was given up meanwhile")
        except BaseException:
            self._keeping.give_up(wanted)
            raise
        self._metrics.snapshot_taken(wanted.kind, taken.paused_s)
        return replace(wanted, state="there", size_bytes=taken.used_bytes, created_at=created_at)
