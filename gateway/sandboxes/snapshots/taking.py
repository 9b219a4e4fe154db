"""Taking snapshots: of what a sandbox has written, at one moment, while it goes on."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import gevent

from gateway import clock
from gateway.engine.container_hardening import user_of
from gateway.engine.interface import ContainerInfo, Engine, EngineHost, Isolation
from gateway.errors import (
    EngineTimeout,
    SandboxBusy,
    SandboxNotFound,
    SnapshotsMissing,
)
from gateway.metrics import Metrics
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.snapshots.as_images import ImageSnapshots, TakenImage
from gateway.sandboxes.snapshots.holding import Holding
from gateway.sandboxes.snapshots.host_side import HostSnapshots, SnapshotNames
from gateway.sandboxes.snapshots.keeping import Keeping
from gateway.sandboxes.spec.isolation_levels import has_snapshots
from gateway.settings import SHARED_UID
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import KeptAs, Kind, SnapshotRow, SnapshotStore

log = logging.getLogger(__name__)

FLUSH_S = 20.0
"""How long a sandbox under gVisor may take to write out what it holds."""

_ANY_HOST = EngineHost(memory_bytes=0, cpus=0, runtimes=frozenset())


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
    """Takes snapshots of sandboxes: of their disk or, where they have none of their own, as an
    image."""

    def __init__(
        self,
        store: SnapshotStore,
        keeping: Keeping,
        holding: Holding,
        check: SandboxCheck,
        leases: Leases,
        engine: Engine,
        host: HostSnapshots,
        images: ImageSnapshots,
        names: SnapshotNames,
        room: Room,
        limits: SnapshotLimits,
        worker_id: str,
        metrics: Metrics,
        host_of: Callable[[], EngineHost],
    ) -> None:
        """`host_of` asks the engine for its host."""
        self._host_of = host_of
        self._store = store
        self._keeping = keeping
        self._holding = holding
        self._check = check
        self._leases = leases
        self._engine = engine
        self._host = host
        self._images = images
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
        """A snapshot that is there, whole. It belongs to the sandbox's owner. A checkpoint is one
        that the sandbox can be restored to, so it takes a disk.

        Raises SandboxNotFound, SandboxBusy, SnapshotsMissing, SnapshotNameTaken, TooManySnapshots,
        SnapshotTooLarge, DiskFull, HostToolFailed, StoreUnavailable and the engine's errors.
        """
        found = self._check.live(sandbox_id)
        if kind == "checkpoint":
            self.demand(found)
        self._kept_as(found)
        lease = self._leases.lease(sandbox_id, "command")
        try:
            row = self._check.live(sandbox_id)
            wanted = self._wanted(row, name, labels or {}, kind)
            with self._check.until_it_ends(sandbox_id):
                return self._take(row, wanted)
        finally:
            self._leases.release(lease)

    def demand(self, row: SandboxRow) -> None:
        """Raises SnapshotsMissing for a sandbox that has no disk of its own, SandboxBusy for one
        that is just being created, and the engine's errors."""
        if self._kept_as(row) != "disk":
            raise SnapshotsMissing("it has no disk of its own")

    def demand_changes(self, row: SandboxRow) -> None:
        """Likewise, and for one whose disk does not show at once what it writes."""
        if row.isolation == "gvisor":
            raise SnapshotsMissing("gVisor holds what is written in its own memory first")
        self.demand(row)

    def _kept_as(self, row: SandboxRow) -> KeptAs:
        """How snapshots of a sandbox are kept. Raises what `demand` does, where it cannot have
        any."""
        if row.state == "starting":
            raise SandboxBusy("it is being created")
        level = cast(Isolation, row.isolation)
        # The engine is asked where it matters.
        host = self._host_of() if level == "gvisor" else _ANY_HOST
        if not has_snapshots(level, host):
            raise SnapshotsMissing(f"there are none at isolation level {level} here")
        if row.disk_mb is None:
            raise SnapshotsMissing("nothing limits what it may write")
        if self._host.way() is not None:
            return "disk"
        if row.uid != SHARED_UID:
            raise SnapshotsMissing("it has a user of its own, but no disk")
        return "image"

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
            kept_as=self._kept_as(row),
            origin=row.origin or row.sandbox_id,
        )

    def _take(self, row: SandboxRow, wanted: SnapshotRow) -> SnapshotRow:
        assert row.container_id is not None
        container = self._engine.inspect(row.container_id)
        if container.image_id is None:
            raise SnapshotsMissing("the engine does not say what the sandbox was made of")
        takes = 0
        if wanted.kept_as == "disk":
            takes = self._host.disk_bytes(_layer_of(container))
            self._room.check_room(takes if self._host.way() == "copy" else 0)
        # While it is being made it counts as what its disk takes now.
        wanted = replace(wanted, image_id=container.image_id, size_bytes=takes)
        limits = self._limits
        for old in self._store.begin(wanted, most=limits.most, most_bytes=limits.most_bytes):
            self._keeping.finish_removal(old)
        try:
            taken = self._carry_out(row, container, wanted)
            created_at = clock.wall_s()
            if not self._store.mark_there(
                wanted.snapshot_id,
                size_bytes=taken.used_bytes,
                created_at=created_at,
                image_id=taken.image_id,
            ):
                raise SandboxNotFound(row.sandbox_id, "the snapshot was given up meanwhile")
        except BaseException:
            self._keeping.give_up(wanted)
            raise
        self._metrics.snapshot_taken(wanted.kind, taken.paused_s)
        return replace(
            wanted,
            state="there",
            size_bytes=taken.used_bytes,
            created_at=created_at,
            image_id=taken.image_id,
        )

    def _carry_out(
        self, row: SandboxRow, container: ContainerInfo, wanted: SnapshotRow
    ) -> TakenImage:
        if row.isolation == "gvisor" and container.state == "running":
            self._flush(row, container.container_id)
        paused = self._holding.standing_still(row.sandbox_id, container.container_id)
        if wanted.kept_as == "image":
            return self._images.take(container, wanted, paused, self._room.check_room)
        taken = self._host.take(_layer_of(container), self._names.of(wanted), paused)
        return TakenImage(wanted.image_id, taken.used_bytes, taken.paused_s)

    def _flush(self, row: SandboxRow, container_id: str) -> None:
        """gVisor keeps what is written in its own memory, until somebody asks for it."""
        with gevent.Timeout(FLUSH_S, EngineTimeout(f"sync took longer than {FLUSH_S:g} s")):
            run = self._engine.open_run(container_id, ["sync"], user_of(row.uid), None)
            try:
                for _ in run.output():
                    pass
                status = run.returncode()
            finally:
                run.close()
        if status != 0:
            log.warning("sandbox %s was not flushed: sync ended with %d", row.sandbox_id, status)


def _layer_of(container: ContainerInfo) -> str:
    if container.layer is None:
        raise SnapshotsMissing("the engine does not say where it keeps what the sandbox writes")
    return container.layer
