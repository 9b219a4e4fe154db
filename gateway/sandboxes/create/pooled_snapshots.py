"""Snapshots of which sandboxes stand ready, and which of them everybody may use.

A snapshot is its owner's. That others may make sandboxes of one takes two: it belongs to an
operator's key (or to nobody, where there are none), and the settings name it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.store.snapshots import SnapshotRow, SnapshotStore


class PooledSnapshots:
    """`wanted` are (owner, name), with None for whichever of the `operators` has one; these are ""
    alone where there are no keys. Methods may raise StoreUnavailable."""

    def __init__(
        self,
        wanted: Sequence[tuple[str | None, str]],
        operators: Collection[str],
        store: SnapshotStore,
    ) -> None:
        self._own = [(owner, name) for owner, name in wanted if owner is not None]
        self._promoted = [name for owner, name in wanted if owner is None]
        self._operators = sorted(operators)
        self._store = store

    def all(self) -> list[SnapshotRow]:
        """Those that there are."""
        found = [self._store.find(name, owner=owner) for owner, name in self._own]
        found += [self._promoted_as(name) for name in self._promoted]
        there = {row.snapshot_id: row for row in found if row is not None and row.name is not None}
        return list(there.values())

    def promoted(self, word: str) -> SnapshotRow | None:
        """The one of this name, or id, that everybody may use."""
        if word in self._promoted:
            return self._promoted_as(word)
        rows = [self._promoted_as(name) for name in self._promoted]
        return next((row for row in rows if row is not None and row.snapshot_id == word), None)

    def holds(self, snapshot: SnapshotRow) -> bool:
        """Whether sandboxes of it stand ready, or will. Asks nobody."""
        is_own = (snapshot.owner, snapshot.name) in self._own
        return (is_own or self.is_everybodys(snapshot)) and snapshot.kind == "kept"

    def is_everybodys(self, snapshot: SnapshotRow) -> bool:
        """Whether those of it are for all owners. Asks nobody."""
        return snapshot.name in self._promoted and snapshot.owner in self._operators

    def _promoted_as(self, name: str) -> SnapshotRow | None:
        """Of several operators the first one's."""
        for owner in self._operators:
            found = self._store.find(name, owner=owner)
            if found is not None and found.name == name:
                return found
        return None
