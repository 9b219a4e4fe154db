"""What E2B's surface needs of the services behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.errors import GatewayError
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.schemas.models import SandboxCreate, SandboxStatus


class SandboxView(Protocol):
    """A sandbox; it has the fields of `gateway.schemas.models.Sandbox`, too."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def status(self) -> SandboxStatus: ...

    @property
    def created_at(self) -> float: ...

    @property
    def ends_at(self) -> float | None:
        """The same to the last digit until it is changed; None: never."""

    @property
    def image(self) -> str: ...

    @property
    def snapshot(self) -> str | None: ...

    @property
    def cpus(self) -> float: ...

    @property
    def memory_mb(self) -> int: ...

    @property
    def disk_mb(self) -> int | None: ...

    @property
    def network(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def timeout(self) -> float | None: ...

    @property
    def timeout_action(self) -> str: ...

    @property
    def notes(self) -> Mapping[str, Any]:
        """What this surface has kept with it; empty for those made by others."""


class CreatedView(Protocol):
    """What came of a create."""

    @property
    def view(self) -> SandboxView: ...


class CreationService(Protocol):
    """Creates sandboxes."""

    def create(
        self,
        request: SandboxCreate,
        *,
        owner: Owner,
        key: str | None,
        has_left: Callable[[], bool],
    ) -> CreatedView:
        """See `gateway.sandboxes.create.creation.Creation.create`."""


class SandboxService(Protocol):
    """Shows sandboxes. Any method may raise a HostFault."""

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""

    def list(
        self,
        *,
        status: SandboxStatus | None,
        labels: Mapping[str, str],
        limit: int | None,
        after: str | None,
        owner: str | None,
    ) -> tuple[Sequence[SandboxView], bool]:
        """Oldest first. `owner` None: everybody's."""

    def env_of(self, sandbox_id: str) -> Mapping[str, str]:
        """What its create gave as environment. Raises SandboxNotFound, SandboxBusy."""

    def paused_among(self, sandbox_ids: set[str]) -> Mapping[str, float]:
        """Those of the sandboxes that are paused."""


class ChangeService(Protocol):
    """Changes and removes sandboxes. Any method may raise a HostFault, and SandboxNotFound."""

    def end_in(self, sandbox_id: str, after_s: float, *, only_later: bool = False) -> None:
        """Raises BadFields, SandboxBusy."""

    def pause(self, sandbox_id: str, *, ends: bool = True) -> SandboxView:
        """Raises SandboxBusy."""

    def resume(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxBusy."""

    def delete(self, sandbox_id: str) -> None:
        """Gone when this returns."""


class SnapshotView(Protocol):
    """A snapshot."""

    @property
    def snapshot_id(self) -> str: ...

    @property
    def name(self) -> str | None: ...


class SnapshotTaking(Protocol):
    """Takes snapshots."""

    def take(
        self, sandbox_id: str, *, name: str | None, labels: Mapping[str, str]
    ) -> SnapshotView: ...


class SnapshotKeeping(Protocol):
    """Shows and removes an owner's snapshots. Any method may raise SnapshotNotFound."""

    def get(self, word: str, *, owner: str) -> SnapshotView: ...

    def list(
        self,
        *,
        owner: str,
        sandbox_id: str | None,
        labels: Mapping[str, str],
        limit: int | None,
        after: str | None,
    ) -> tuple[Sequence[SnapshotView], bool]:
        """Oldest first, and whether there are more."""

    def delete(self, word: str, *, owner: str) -> None: ...


class ForkedView(Protocol):
    """One of a fork's copies, or why there is none."""

    @property
    def view(self) -> SandboxView | None: ...

    @property
    def error(self) -> GatewayError | None: ...


class ForkService(Protocol):
    """Makes sandboxes with the files of another."""

    def fork(
        self,
        sandbox_id: str,
        request: SandboxCreate,
        count: int,
        *,
        owner: Owner,
        has_left: Callable[[], bool],
    ) -> Sequence[ForkedView]: ...


class RestartService(Protocol):
    """Starts sandboxes anew."""

    def restart(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound, SandboxBusy, FeatureMissing and any HostFault."""


class SnapshotServices(Protocol):
    """All that is done with snapshots."""

    @property
    def taking(self) -> SnapshotTaking: ...

    @property
    def keeping(self) -> SnapshotKeeping: ...

    @property
    def forking(self) -> ForkService: ...

    @property
    def restarting(self) -> RestartService: ...


class EventLike(Protocol):
    """Something that happened to a sandbox."""

    @property
    def at(self) -> float: ...

    @property
    def event(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...


class LifecycleService(Protocol):
    """Tells what happened to sandboxes."""

    def since(
        self, number: int, *, sandbox_id: str | None, owner: str | None, limit: int
    ) -> Sequence[EventLike]:
        """Oldest first. Raises SandboxNotFound."""


class Tokens(Protocol):
    """Makes the tokens of sandboxes."""

    def e2b_token(self, sandbox_id: str, kind: Any = ...) -> str:
        """Raises SandboxNotFound."""
