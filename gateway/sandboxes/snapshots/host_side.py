"""What snapshots need of the host: how files are kept there, and how they come back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, Literal, Protocol

from gateway.schemas.changed_paths import ChangedPaths
from gateway.store.snapshots import SnapshotRow


class Taken(Protocol):
    """A snapshot that lies on the host's disk, whole."""

    @property
    def used_bytes(self) -> int:
        """That it takes there; those that it shares with others count too."""

    @property
    def paused_s(self) -> float:
        """How long the sandbox stood still."""


class FileIndex(Protocol):
    """What was in a container's layer at one moment: see `gateway.host.layer_index`."""

    @property
    def entries(self) -> Mapping[bytes, Any]: ...


class HostSnapshots(Protocol):
    """Keeps snapshots on the host's disk, by name. Anything may raise HostToolFailed and the
    engine's errors."""

    def way(self) -> Literal["reflink", "copy"] | None:
        """How files are copied; None where sandboxes have no disks of their own."""

    def take(self, layer: str, name: str, paused: AbstractContextManager[object]) -> Taken:
        """Keep what a container has written; it is `paused` for as short as can be. Whole, or
        there is nothing. Raises DiskFull."""

    def disk_bytes(self, layer: str) -> int:
        """What a container's disk takes of the host's: a copy of it takes as much, at once or, by
        reference, when what it shares is changed."""

    def changes(self, layer: str, since: str | None) -> ChangedPaths:
        """In a container since a snapshot of it, or of what it was made from; None: against its
        image."""

    def index(self, layer: str) -> Any:
        """A FileIndex of what a container's layer has now."""

    def changes_since(self, layer: str, before: Any) -> ChangedPaths:
        """The same since it was looked at by `index`."""

    def remove(self, name: str) -> None:
        """What is not there is a success."""

    def names(self) -> set[str]:
        """Of all that are there, also other gateways'."""


class SnapshotNames:
    """What this gateway's snapshots are called on the host's disk: others may have theirs in the
    same directory."""

    def __init__(self, instance_id: str) -> None:
        self._prefix = f"{sha256(instance_id.encode()).hexdigest()[:12]}-"

    def of(self, snapshot: SnapshotRow) -> str:
        """The name of one."""
        return self.of_id(snapshot.snapshot_id)

    def of_id(self, snapshot_id: str) -> str:
        """The name of one, by its id."""
        return self._prefix + snapshot_id

    def ids_among(self, names: set[str]) -> set[str]:
        """The ids of those that are this gateway's."""
        return {name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)}
