"""What a sandbox is made of that begins with the files of a snapshot."""

from __future__ import annotations

from collections.abc import Callable

from gateway.engine.interface import Isolation
from gateway.errors import BadFields, SnapshotNotFound, SnapshotTooLarge
from gateway.sandboxes.create.containers import Base
from gateway.sandboxes.create.pooled_snapshots import PooledSnapshots
from gateway.schemas.models import SandboxCreate
from gateway.store.snapshots import SnapshotRow, SnapshotStore


class Bases:
    """Finds the snapshots that requests name. `usual_disk_mb` is the disk of who asks for none;
    None: there is no limit, and so no disk. `usual_isolation` likewise, but
    never `strict`. `name_of` says what one is called on the host's
    disk."""

    def __init__(
        self,
        store: SnapshotStore,
        usual_disk_mb: int | None,
        usual_isolation: Isolation,
        name_of: Callable[[SnapshotRow], str],
        pooled: PooledSnapshots,
    ) -> None:
        self._store = store
        self._usual_disk_mb = usual_disk_mb
        self._usual_isolation = "standard" if usual_isolation == "strict" else usual_isolation
        self._name_of = name_of
        self.pooled = pooled

    def of(self, snapshot_id: str) -> Base:
        """One that is there, whoever's it is. Raises SnapshotNotFound and StoreUnavailable."""
        found = self._store.get(snapshot_id)
        if found is None or found.state != "there":
            raise SnapshotNotFound()
        name = None if found.kept_as == "image" else self._name_of(found)
        return Base(name, found.image_id, found.uid)

    def named(self, word: str, owner: str) -> SnapshotRow:
        """By id or name: the owner's own, else one that everybody may use. Raises SnapshotNotFound
        and StoreUnavailable."""
        found = self._store.find(word, owner=owner) or self.pooled.promoted(word)
        if found is None:
            raise SnapshotNotFound()
        return found

    def applied(self, request: SandboxCreate, base: SnapshotRow) -> SandboxCreate:
        """The request with what follows from its snapshot: its image, and a disk that is large
        enough. Raises BadFields for another image or level, and SnapshotTooLarge."""
        if request.image not in (None, base.image):
            raise _refused("image", f"the snapshot's image is {base.image}")
        if request.isolation == "strict":
            raise _refused("isolation", "with a snapshot it cannot be `strict`")
        disk_mb = request.disk_mb
        if disk_mb is None:
            disk_mb = max(base.disk_mb, self._usual_disk_mb or 0)
        if disk_mb < base.disk_mb:
            raise SnapshotTooLarge(f"the snapshot needs {base.disk_mb} MiB")
        return request.model_copy(
            update={
                "snapshot": base.snapshot_id,
                "image": base.image,
                "isolation": request.isolation or self._usual_isolation,
                "disk_mb": disk_mb,
            }
        )


def _refused(field: str, why: str) -> BadFields:
    return BadFields(
        f"{field}: {why}", errors=[{"loc": [field], "msg": why, "type": "not_allowed"}]
    )
