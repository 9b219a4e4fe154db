"""What a sandbox has changed: since a snapshot, or against its image."""

from __future__ import annotations

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import (
    HostToolFailed,
    SandboxBusy,
    SnapshotNotFound,
    SnapshotsMissing,
    SnapshotUnrelated,
)
from gateway.metrics import Metrics
from gateway.process.owner_turns import OwnerTurns
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.snapshots.host_side import HostSnapshots, SnapshotNames
from gateway.sandboxes.snapshots.taking import Taking
from gateway.schemas.changed_paths import ChangedPaths, changes_of
from gateway.schemas.models import Changes
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import SnapshotRow, SnapshotStore


class Comparing:
    """Compares. One owner's sandboxes are looked at one at a time (`turns`), so that those of
    others have their turn."""

    def __init__(
        self,
        store: SnapshotStore,
        taking: Taking,
        check: SandboxCheck,
        engine: Engine,
        host: HostSnapshots,
        names: SnapshotNames,
        turns: OwnerTurns,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._taking = taking
        self._check = check
        self._engine = engine
        self._host = host
        self._names = names
        self._metrics = metrics
        self._turns = turns

    def changes(
        self, sandbox_id: str, since: str | None, *, of_sandbox: str | None = None
    ) -> Changes:
        """Since a snapshot, by its id or name, else against the image. A sandbox that is paused
        stays so. `of_sandbox` allows only snapshots that were taken of one sandbox, and those that
        the sandbox itself was made from or restored to.

        Raises SandboxNotFound, SandboxBusy, SnapshotsMissing, SnapshotNotFound, SnapshotUnrelated,
        HostToolFailed, StoreUnavailable and the engine's errors.
        """
        row = self._check.live(sandbox_id)
        self._taking.demand_changes(row)
        snapshot = None if since is None else self._snapshot(row, since, of_sandbox)
        with self._turns.one(row.owner or sandbox_id):
            began_s = clock.boot_s()
            with self._check.until_it_ends(sandbox_id):
                try:
                    found = self._compared(row, snapshot)
                except HostToolFailed:
                    self._check.live(sandbox_id)
                    if snapshot is not None:
                        self._there(snapshot)
                    raise
            self._metrics.changes_told("request", clock.boot_s() - began_s)
        return changes_of(found)

    def _snapshot(self, row: SandboxRow, word: str, of_sandbox: str | None) -> SnapshotRow:
        found = self._store.find(word, owner=row.owner)
        began_with = (row.options.get("snapshot"), row.restored_from)
        if found is None or not (
            of_sandbox in (None, found.sandbox_id) or found.snapshot_id in began_with
        ):
            raise SnapshotNotFound()
        origins = (row.sandbox_id, row.origin)
        if found.sandbox_id not in origins and (found.origin or found.sandbox_id) not in origins:
            raise SnapshotUnrelated()
        if found.kept_as != "disk":
            raise SnapshotsMissing("the snapshot is an image, with which files cannot be compared")
        return found

    def _compared(self, row: SandboxRow, snapshot: SnapshotRow | None) -> ChangedPaths:
        assert row.container_id is not None
        layer = self._engine.inspect(row.container_id).layer
        if layer is None:
            raise SnapshotsMissing("the engine does not say where it keeps what the sandbox writes")
        if row.restoring_from is not None:
            raise SandboxBusy("it is being restored")
        found = self._host.changes(layer, None if snapshot is None else self._names.of(snapshot))
        now = self._check.live(row.sandbox_id)
        if now.restored_count != row.restored_count or now.restoring_from is not None:
            raise SandboxBusy("it was restored meanwhile")
        return found

    def _there(self, snapshot: SnapshotRow) -> None:
        """Raises SnapshotNotFound for one that has been deleted meanwhile."""
        now = self._store.get(snapshot.snapshot_id)
        if now is None or now.state != "there":
            raise SnapshotNotFound()
