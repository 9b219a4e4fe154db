"""Bringing a sandbox back to the files of a snapshot: its id, its container and its clients stay,
its processes and sessions end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from gateway import clock
from gateway.engine.interface import ContainerInfo, Engine, Preparation
from gateway.errors import (
    BaseImageChanged,
    ContainerGone,
    EngineFault,
    GatewayError,
    SnapshotNotFound,
    SnapshotsMissing,
    SnapshotTooLarge,
)
from gateway.metrics import Metrics
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.sandbox_view import SandboxView
from gateway.sandboxes.snapshots.holding import Holding
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.sandboxes.snapshots.taking import Taking
from gateway.store.holds import HoldStore
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import SnapshotRow, SnapshotStore

log = logging.getLogger(__name__)


class SnapshotFiles(Preparation, Protocol):
    """What gives a container the files of a snapshot."""

    def make_ready(self, container: ContainerInfo) -> None:
        """All of it that does not touch the container, which runs. Raises SnapshotNotFound,
        DiskFull, HostToolFailed and the engine's errors."""

    @property
    def in_place(self) -> bool:
        """Whether the container has them."""


class HostGuard(Protocol):
    """What is enforced on the engine's host around a container's start."""

    def check_room(self) -> None:
        """Raises DiskFull."""

    def from_snapshot(self, name: str, disk_mb: int, uids: tuple[int, int]) -> SnapshotFiles:
        """What gives a container the files of a snapshot."""

    def once_more(self) -> Preparation:
        """What a container needs that is started again with the files that it has. Raises
        HostToolFailed, before its start, when it has none."""


class Restoring:
    """Restores. `forget_link` closes this process's links into a container."""

    def __init__(
        self,
        store: SnapshotStore,
        holds: HoldStore,
        holding: Holding,
        taking: Taking,
        check: SandboxCheck,
        engine: Engine,
        guard: HostGuard,
        names: SnapshotNames,
        removal: Removal,
        forget_link: Callable[[str], None],
        worker_id: str,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._holds = holds
        self._holding = holding
        self._taking = taking
        self._check = check
        self._engine = engine
        self._guard = guard
        self._names = names
        self._removal = removal
        self._forget_link = forget_link
        self._worker_id = worker_id
        self._metrics = metrics

    def restore(self, sandbox_id: str, word: str, *, of_sandbox: str | None = None) -> SandboxView:
        """Bring a sandbox back to a snapshot of the same owner, by its id or name; `of_sandbox`
        allows only those that were taken of one sandbox. It runs afterwards, also one that was
        paused.

        Raises SandboxNotFound, SandboxBusy, SnapshotNotFound, SnapshotTooLarge, BaseImageChanged,
        SnapshotsMissing, DiskFull, HostToolFailed, StoreUnavailable and the engine's errors. The
        snapshot is copied and looked at while the sandbox runs: what fails until then changes
        nothing of it. After that it is started, at the second try too, with the files that it has
        by then: the snapshot's count as restored. Where it cannot be, it has ended.
        """
        row = self._check.live(sandbox_id)
        self._taking.demand(row)
        snapshot = self._store.find(word, owner=row.owner)
        if snapshot is None or of_sandbox not in (None, snapshot.sandbox_id):
            raise SnapshotNotFound()
        if snapshot.kept_as != "disk":
            raise SnapshotsMissing("the snapshot is an image and no disk")
        container = self._check.container_or_end(row)
        if container.image_id != snapshot.image_id:
            raise BaseImageChanged("the sandbox was made from another image than the snapshot's")
        if row.disk_mb is None or row.disk_mb < snapshot.disk_mb:
            raise SnapshotTooLarge(f"the snapshot needs {snapshot.disk_mb} MiB")
        self._guard.check_room()
        self._holding.claim(sandbox_id, restoring=snapshot.snapshot_id)
        try:
            with self._check.until_it_ends(sandbox_id):
                self._carry_out(row, snapshot, self._made_ready(row, snapshot))
        finally:
            self._holding.release(sandbox_id)  # of what failed; else it is not held any more
        return self._check.view(sandbox_id)

    def _made_ready(self, row: SandboxRow, snapshot: SnapshotRow) -> SnapshotFiles:
        """For one that is held by this worker. It runs, if it did, until this has succeeded."""
        assert row.container_id is not None
        assert row.disk_mb is not None
        uids = (snapshot.uid, row.uid)
        files = self._guard.from_snapshot(self._names.of(snapshot), row.disk_mb, uids)
        try:
            files.make_ready(self._engine.inspect(row.container_id))
        except BaseException as error:
            self._metrics.restored("failed")
            log.warning("sandbox %s stays as it is: %s", row.sandbox_id, error)
            raise
        return files

    def _carry_out(self, row: SandboxRow, snapshot: SnapshotRow, files: SnapshotFiles) -> None:
        """Of one that is held by this worker."""
        assert row.container_id is not None
        try:
            started = self._engine.restart(row.container_id, files)
        except BaseException as error:
            log.warning("sandbox %s cannot be restored: %s", row.sandbox_id, error)
            again = self._running_again(row)
            if again is None or not files.in_place or not isinstance(error, GatewayError):
                self._metrics.restored("failed")
                if again is not None:
                    self._go_on(row, again)
                raise
            started = again  # at the second try, and with the files that were asked for
        self._forget_link(row.container_id)
        if not self._mark(row, snapshot, started):
            # It was deleted meanwhile, and may have been started again after that.
            self._engine.remove(row.container_id)
            raise self._check.not_found(row.sandbox_id)
        self._metrics.restored("ok")

    def _mark(self, row: SandboxRow, snapshot: SnapshotRow, started: ContainerInfo) -> bool:
        return self._holds.mark_restored(
            row.sandbox_id,
            snapshot.snapshot_id,
            ip_address=started.ip_address,
            pid=started.pid,
            uid=row.uid,
            origin=snapshot.origin or snapshot.sandbox_id,
            now=clock.boot_s(),
        )

    def _go_on_as_before(self, row: SandboxRow) -> None:
        """With the files that it has, if it has any; else it ends. Raises nothing."""
        container = self._running_again(row)
        if container is not None:
            self._go_on(row, container)

    def _running_again(self, row: SandboxRow) -> ContainerInfo | None:
        """With the files that it has, if it has any; None: else it ends. One that was not stopped
        is left alone. Raises nothing."""
        assert row.container_id is not None
        try:
            found = self._engine.inspect(row.container_id)
            if found.pid is not None and found.pid == row.pid:
                return found
            self._forget_link(row.container_id)
            return self._engine.restart(row.container_id, self._guard.once_more())
        except GatewayError as error:
            log.exception("sandbox %s does not start again", row.sandbox_id)
            self._end(row, f"it could not be restored, nor started again: {error.code}")
            return None

    def _go_on(self, row: SandboxRow, container: ContainerInfo) -> None:
        try:
            if container.pid != row.pid:
                self._holds.note_process(
                    row.sandbox_id, ip_address=container.ip_address, pid=container.pid
                )
            self._holding.release(row.sandbox_id)
        except GatewayError as error:
            log.warning("sandbox %s is not noted to go on yet: %s", row.sandbox_id, error)

    def _end(self, row: SandboxRow, why: str) -> None:
        try:
            if self._removal.claim(row.sandbox_id, "exited", why):
                self._removal.carry_out(row)
        except GatewayError as error:
            log.warning("cannot end sandbox %s yet: %s", row.sandbox_id, error)

    # --- after accidents -----------------------------------------------------------------------

    def take_over(self, row: SandboxRow) -> None:
        """The worker that held it was killed: let it go on, or restore it again from the beginning.
        Raises nothing."""
        dead = row.worker_id or ""
        try:
            if row.container_id is not None:
                self._engine.inspect(row.container_id)
        except ContainerGone:
            pass  # it ends
        except EngineFault as error:
            log.info("sandbox %s stays held until the engine is back: %s", row.sandbox_id, error)
            return
        try:
            if not self._holds.take_over(row.sandbox_id, worker_id=self._worker_id, dead=dead):
                return
            if row.restoring_from is None:
                self._let_go(row)
            else:
                self._restore_again(row, row.restoring_from)
        except (ContainerGone, EngineFault) as error:
            log.warning("cannot take over sandbox %s: %s", row.sandbox_id, error)
            self._end(row, "the gateway was killed while it held it")
        except GatewayError as error:
            log.warning("sandbox %s is not what it was: %s", row.sandbox_id, error)

    def _let_go(self, row: SandboxRow) -> None:
        if row.container_id is not None and row.hold_returns_to != "paused":
            self._holding.thaw(row.container_id)
        self._holding.release(row.sandbox_id)

    def _restore_again(self, row: SandboxRow, snapshot_id: str) -> None:
        snapshot = self._store.get(snapshot_id)
        if snapshot is None or snapshot.state != "there":
            self._go_on_as_before(row)
            return
        try:
            files = self._made_ready(row, snapshot)
        except BaseException:
            self._go_on_as_before(row)  # how far the other had come is not known
            raise
        self._carry_out(row, snapshot, files)
