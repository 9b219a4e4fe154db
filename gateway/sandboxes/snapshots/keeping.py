"""Snapshots that are there: shown, deleted, and what a killed gateway left of others removed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from gateway.errors import GatewayError, SnapshotNotFound
from gateway.sandboxes.snapshots.as_images import ImageSnapshots
from gateway.sandboxes.snapshots.host_side import HostSnapshots, SnapshotNames
from gateway.store.snapshots import SnapshotRow, SnapshotStore

log = logging.getLogger(__name__)


class Keeping:
    """Shows and removes snapshots, each owner's own. Any method may raise StoreUnavailable."""

    def __init__(
        self,
        store: SnapshotStore,
        host: HostSnapshots,
        names: SnapshotNames,
        images: ImageSnapshots,
    ) -> None:
        self._store = store
        self._host = host
        self._images = images
        self._names = names

    def get(self, word: str, *, owner: str) -> SnapshotRow:
        """By its id or name. Raises SnapshotNotFound."""
        found = self._store.find(word, owner=owner)
        if found is None:
            raise SnapshotNotFound()
        return found

    def list(
        self,
        *,
        owner: str,
        sandbox_id: str | None,
        labels: Mapping[str, str],
        limit: int | None,
        after: str | None,
    ) -> tuple[list[SnapshotRow], bool]:
        """Those that fit, oldest first, from behind `after` on, and whether there are more than
        `limit`. Raises SnapshotNotFound for an `after` that is none of the owner's."""
        behind = None if after is None else self.get(after, owner=owner)
        return self._store.those(
            owner=owner, sandbox_id=sandbox_id, labels=labels, limit=limit, after=behind
        )

    def delete(self, word: str, *, owner: str) -> None:
        """Nobody finds it any more when this returns. Raises SnapshotNotFound."""
        found = self.get(word, owner=owner)
        if not self._store.claim_removal(found.snapshot_id):
            raise SnapshotNotFound()
        self.finish_removal(found)

    def give_up(self, snapshot: SnapshotRow) -> None:
        """It came to nothing, or is not needed any more."""
        self._store.claim_removal(snapshot.snapshot_id)
        self.finish_removal(snapshot)

    def finish_removal(self, snapshot: SnapshotRow) -> None:
        """Remove the file or image of one in state `removing`, then its row. What fails is logged,
        and done by `tidy`."""
        try:
            if snapshot.kept_as == "image":
                self._images.remove(snapshot)
            else:
                self._host.remove(self._names.of(snapshot))
            self._store.forget(snapshot.snapshot_id)
        except GatewayError as error:
            log.warning("cannot remove snapshot %s yet: %s", snapshot.snapshot_id, error)

    # --- after accidents -----------------------------------------------------------------------

    def take_over_from(self, dead_workers: Collection[str]) -> None:
        """What workers that were killed were making, or forked from, is removed by `tidy`."""
        self._store.leave_those_of(dead_workers)

    def tidy(self) -> None:
        """Compare what is noted with what is there, and remove what has no other half.

        What is there is read first: it is there only as long as its row is.
        Raises HostToolFailed and the engine's errors.
        """
        has_disks = self._host.way() is not None
        on_disk = self._names.ids_among(self._host.names()) if has_disks else set()
        images = self._images.found()
        rows = {row.snapshot_id: row for row in self._store.all()}
        for row in rows.values():
            if row.state == "removing" and (has_disks or row.kept_as == "image"):
                self.finish_removal(row)
        for snapshot_id in on_disk - rows.keys():
            log.warning("removing a snapshot that nobody knows of: %s", snapshot_id)
            self._host.remove(self._names.of_id(snapshot_id))
        self._images.tidy(images, rows)
        there = {one: row for one, row in rows.items() if row.state == "there"}
        lost = {one for one, row in there.items() if row.kept_as == "image"} - images.keys()
        if has_disks:
            lost |= {one for one, row in there.items() if row.kept_as == "disk"} - on_disk
        if lost:
            # One may have come there since.
            lost -= self._images.found().keys()
            lost -= self._names.ids_among(self._host.names()) if has_disks else set()
        for snapshot_id in lost:
            log.error("the files of snapshot %s are gone", snapshot_id)
            self.give_up(rows[snapshot_id])
