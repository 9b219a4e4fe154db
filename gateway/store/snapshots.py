"""Snapshots: what was kept of a sandbox's files, whose it is, and how far its making has come.

`making` → `there` → `removing`, then the row goes. The file on the host's disk is made after the
row and removed before it: so what a killed gateway leaves is found by either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from gateway.errors import SnapshotNameTaken, TooManySnapshots
from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.tables import snapshots

Kind = Literal["kept", "checkpoint", "fork"]
"""`kept`: until it is deleted. `checkpoint`: until its owner's limits need the room. `fork`: as
long as the worker that made it needs it; nobody sees it."""

KeptAs = Literal["disk", "image"]
"""`disk`: as a file system in a file of the host's. `image`: as an image of the engine's."""

LOST_BY_IMAGES = ("user_xattrs", "sockets", "whiteout_names", "holes")
"""What an engine leaves out of an image of a container: see docs/snapshots.md."""

SEEN = ("kept", "checkpoint")


@dataclass(frozen=True)
class SnapshotRow:
    """A row of `gateway.store.tables.snapshots`, which explains the columns."""

    snapshot_id: str
    state: str
    kind: Kind
    owner: str
    name: str | None
    worker_id: str | None
    sandbox_id: str
    created_at: float
    image: str
    image_id: str
    uid: int
    disk_mb: int
    size_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    kept_as: KeptAs = "disk"
    origin: str | None = None

    @property
    def losses(self) -> tuple[str, ...]:
        """What of the sandbox's files it does not have."""
        return () if self.kept_as == "disk" else LOST_BY_IMAGES


class SnapshotStore:
    """Notes snapshots. `created_at` is wall time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading -------------------------------------------------------------------------------

    def get(self, snapshot_id: str) -> SnapshotRow | None:
        """By its id, whoever's it is and however far its making has come. Raises
        StoreUnavailable."""
        return self._one(snapshots.c.snapshot_id == snapshot_id)

    def find(self, word: str, *, owner: str | None) -> SnapshotRow | None:
        """One that is there, by its id or its name, of one owner or (None) everybody; names are
        looked for among one owner's only. Raises StoreUnavailable."""
        meant = snapshots.c.snapshot_id == word
        if owner is not None:
            meant = or_(meant, snapshots.c.name == word) & (snapshots.c.owner == owner)
        return self._one(meant, snapshots.c.state == "there", snapshots.c.kind.in_(SEEN))

    def _one(self, *conditions: Any) -> SnapshotRow | None:
        found = self._rows(select(*_COLUMNS).where(*conditions).limit(1))
        return found[0] if found else None

    def those(
        self,
        *,
        owner: str | None,
        sandbox_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        after: SnapshotRow | None = None,
    ) -> tuple[list[SnapshotRow], bool]:
        """Those that are there and fit, oldest first, and whether there are more than `limit`.

        Raises StoreUnavailable.
        """
        query = select(*_COLUMNS).where(snapshots.c.state == "there", snapshots.c.kind.in_(SEEN))
        if owner is not None:
            query = query.where(snapshots.c.owner == owner)
        if sandbox_id is not None:
            query = query.where(snapshots.c.sandbox_id == sandbox_id)
        if after is not None:
            query = query.where(
                or_(
                    snapshots.c.created_at > after.created_at,
                    (snapshots.c.created_at == after.created_at)
                    & (snapshots.c.snapshot_id > after.snapshot_id),
                )
            )
        query = query.order_by(snapshots.c.created_at, snapshots.c.snapshot_id)
        wanted = (labels or {}).items()
        found = [one for one in self._rows(query) if wanted <= one.labels.items()]
        if limit is not None and len(found) > limit:
            return found[:limit], True
        return found, False

    def all(self) -> list[SnapshotRow]:
        """Of everybody and in every state, oldest first. Raises StoreUnavailable."""
        return self._rows(select(*_COLUMNS).order_by(snapshots.c.created_at))

    def image_ids(self) -> set[str]:
        """Of the images that disks need which are there. Raises StoreUnavailable."""
        there = (snapshots.c.state == "there", snapshots.c.kept_as == "disk")
        query = select(snapshots.c.image_id).where(*there).distinct()
        return self._database.read(lambda c: set(c.execute(query).scalars()))

    def bytes_of(self, owner: str) -> int:
        """What the owner's snapshots take. Raises StoreUnavailable."""
        query = select(func.coalesce(func.sum(snapshots.c.size_bytes), 0)).where(
            snapshots.c.owner == owner
        )
        return self._database.read(lambda c: int(c.execute(query).scalar_one()))

    def _rows(self, query: Any) -> list[SnapshotRow]:
        return self._database.read(
            lambda c: [SnapshotRow(**one._mapping) for one in c.execute(query)]
        )

    # --- making --------------------------------------------------------------------------------

    def begin(self, row: SnapshotRow, *, most: int, most_bytes: int) -> list[SnapshotRow]:
        """Note one that is about to be made, in state `making`. Where the owner has as many or as
        much as it may, its oldest checkpoints are claimed to be removed, and returned.

        `most_bytes` 0: no limit. Raises SnapshotNameTaken, TooManySnapshots and StoreUnavailable.
        """

        def work(connection: Connection) -> list[SnapshotRow]:
            theirs = connection.execute(_OF_OWNER, {"of_owner": row.owner})
            present = [SnapshotRow(**one._mapping) for one in theirs]
            if row.name is not None and any(one.name == row.name for one in present):
                raise SnapshotNameTaken()
            going = _to_go(present, most=most - 1, most_bytes=most_bytes)
            for one in going:
                connection.execute(_REMOVING, {"of_id": one.snapshot_id})
            values = {name: getattr(row, name) for name in SnapshotRow.__dataclass_fields__}
            connection.execute(
                insert(snapshots).values(**values, noted_order=_NEXT), {"of_owner": row.owner}
            )
            return going

        return self._database.write(work)

    def mark_there(
        self, snapshot_id: str, *, size_bytes: int, created_at: float, image_id: str | None = None
    ) -> bool:
        """`making` → `there`, and an event of its sandbox. `image_id` is what a sandbox with these
        files is made of, if it is another than was noted. False when it was given up meanwhile.
        Raises StoreUnavailable."""

        def work(connection: Connection) -> bool:
            given = {
                "of_id": snapshot_id,
                "bytes": size_bytes,
                "at": created_at,
                "made_of": image_id,
            }
            found = connection.execute(_THERE, given).one_or_none()
            if found is None:
                return False
            sandbox_id, kind = found
            if kind in SEEN:
                record(
                    connection,
                    sandbox_id,
                    "snapshot",
                    snapshot_id=snapshot_id,
                    size_bytes=size_bytes,
                    kind=kind,
                )
            return True

        return self._database.write(work)

    # --- removing ------------------------------------------------------------------------------

    def claim_removal(self, snapshot_id: str) -> bool:
        """To `removing`: from now on it has no name and nobody finds it. False when another was
        first. Raises StoreUnavailable."""
        return self._database.write(
            lambda c: c.execute(_REMOVING, {"of_id": snapshot_id}).rowcount > 0
        )

    def forget(self, snapshot_id: str) -> None:
        """Its file is gone, or was never made. Raises StoreUnavailable."""
        gone = delete(snapshots).where(snapshots.c.snapshot_id == snapshot_id)
        self._database.write(lambda c: c.execute(gone))

    def leave_those_of(self, worker_ids: Collection[str]) -> None:
        """What workers that were killed were making, or forked from, is to be removed. Raises
        StoreUnavailable."""
        statement = (
            update(snapshots)
            .where(snapshots.c.worker_id.in_(worker_ids))
            .values(state="removing", name=None, worker_id=None)
        )
        self._database.write(lambda c: c.execute(statement))


def _to_go(present: list[SnapshotRow], *, most: int, most_bytes: int) -> list[SnapshotRow]:
    """The oldest checkpoints that must go so that at most `most` snapshots are left, and less than
    `most_bytes`; `present` are in the order of their making. Raises TooManySnapshots."""
    left = [one for one in present if one.state != "removing"]
    going: list[SnapshotRow] = []
    while len(left) > most or (most_bytes and sum(one.size_bytes for one in left) >= most_bytes):
        oldest = next((one for one in left if _may_go(one)), None)
        if oldest is None:
            raise TooManySnapshots()
        left.remove(oldest)
        going.append(oldest)
    return going


def _may_go(one: SnapshotRow) -> bool:
    return one.kind == "checkpoint" and one.state == "there" and one.name is None


_COLUMNS = [snapshots.c[one.name].label(one.name) for one in fields(SnapshotRow)]

# Built once: that takes longer than to carry them out.

_OF_OWNER = (
    select(*_COLUMNS)
    .where(snapshots.c.owner == bindparam("of_owner"))
    .order_by(snapshots.c.noted_order)
)
_NEXT = (
    select(func.coalesce(func.max(snapshots.c.noted_order), 0) + 1)
    .where(snapshots.c.owner == bindparam("of_owner"))
    .scalar_subquery()
)
_THERE = (
    update(snapshots)
    .where(snapshots.c.snapshot_id == bindparam("of_id"), snapshots.c.state == "making")
    .values(
        state="there",
        size_bytes=bindparam("bytes"),
        created_at=bindparam("at"),
        image_id=func.coalesce(bindparam("made_of", type_=String), snapshots.c.image_id),
        worker_id=case((snapshots.c.kind == "fork", snapshots.c.worker_id), else_=None),
    )
    .returning(snapshots.c.sandbox_id, snapshots.c.kind)
)
_REMOVING = (
    update(snapshots)
    .where(snapshots.c.snapshot_id == bindparam("of_id"), snapshots.c.state != "removing")
    .values(state="removing", name=None, worker_id=None)
)
