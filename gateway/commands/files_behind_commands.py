"""What the effects of commands on files are found out by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from gateway.use.place import Place


class Checkpoint(Protocol):
    """A snapshot."""

    @property
    def snapshot_id(self) -> str: ...


class Checkpoints(Protocol):
    """Takes snapshots before commands."""

    def take(self, sandbox_id: str, *, kind: Literal["checkpoint"]) -> Any:
        """Raises SandboxNotFound, SandboxBusy, TooManySnapshots, SnapshotsMissing and any
        HostFault."""


class Looks(Protocol):
    """Looks at the files of sandboxes."""

    def look(self, place: Place) -> Any:
        """What is there now; to be given to `changes_since` or `drop`. Raises SandboxNotFound,
        SnapshotsMissing, TooManyWatched and any HostFault."""

    def changes_since(self, look: Any) -> dict[str, Any]:
        """What has changed, as JSON has it; drops the look. Raises what `look` does."""

    def drop(self, look: Any) -> None:
        """It is not needed. May be repeated."""


class Noted(Protocol):
    """See `gateway.store.command_changes.Noted`."""

    @property
    def worker_id(self) -> str | None: ...

    @property
    def changes(self) -> Mapping[str, Any] | None: ...


class Kept(Protocol):
    """Keeps what commands changed. Any method may raise StoreUnavailable."""

    def open(self, sandbox_id: str, key: str, worker_id: str) -> None: ...

    def tell(
        self, sandbox_id: str, key: str, changes: Mapping[str, Any] | None, size_bytes: int
    ) -> None: ...

    def of(self, sandbox_id: str, key: str) -> Noted | None: ...

    def forget(self, sandbox_id: str, key: str) -> None: ...
