"""What the tools need of the services behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.commands.run_and_steer import Commands
from gateway.errors import GatewayError
from gateway.files.service import Files
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.schemas.models import PortToken, SandboxCreate
from gateway.use.sandbox_use import SandboxUses

Value = TypeVar("Value")


class SandboxView(Protocol):
    """A sandbox as clients see it."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def name(self) -> str | None: ...

    @property
    def status(self) -> str: ...

    @property
    def created_at(self) -> float: ...

    @property
    def image(self) -> str: ...


class CreatedView(Protocol):
    @property
    def view(self) -> SandboxView: ...


class CreationService(Protocol):
    """Creates sandboxes."""

    def create(
        self, request: SandboxCreate, *, owner: Owner, key: None, has_left: Callable[[], bool]
    ) -> CreatedView: ...


class SandboxService(Protocol):
    """Shows sandboxes."""

    def list(
        self,
        *,
        status: None,
        labels: Mapping[str, str],
        limit: int | None,
        after: str | None,
        owner: str | None,
    ) -> tuple[Sequence[SandboxView], bool]:
        """Oldest first, and whether there are more. `owner` None: everybody's."""


class ChangeService(Protocol):
    """Removes sandboxes."""

    def delete(self, sandbox_id: str) -> None: ...


class SnapshotView(Protocol):
    @property
    def snapshot_id(self) -> str: ...

    @property
    def name(self) -> str | None: ...

    @property
    def size_bytes(self) -> int: ...


class SnapshotTaking(Protocol):
    def take(
        self, sandbox_id: str, *, name: str | None, labels: Mapping[str, str]
    ) -> SnapshotView: ...


class SnapshotKeeping(Protocol):
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


class ForkedView(Protocol):
    @property
    def view(self) -> SandboxView | None: ...

    @property
    def error(self) -> GatewayError | None: ...


class ForkService(Protocol):
    def fork(
        self,
        sandbox_id: str,
        request: SandboxCreate,
        count: int,
        *,
        owner: Owner,
        has_left: Callable[[], bool],
    ) -> Sequence[ForkedView]: ...


class RestoreService(Protocol):
    def restore(self, sandbox_id: str, word: str, *, of_sandbox: str | None) -> SandboxView: ...


class SnapshotServices(Protocol):
    """All that is done with snapshots."""

    @property
    def taking(self) -> SnapshotTaking: ...

    @property
    def keeping(self) -> SnapshotKeeping: ...

    @property
    def forking(self) -> ForkService: ...

    @property
    def restoring(self) -> RestoreService: ...


class Budget(Protocol):
    """What a worker may hold for its clients."""

    def hold(self, owner: str, size: int) -> AbstractContextManager[None]:
        """Within the block; waits for room. Raises TooMuchUnread and GatewayFull."""


class Waiting(Protocol):
    """Waits in the place of requests, and ends them when the process is told to stop."""

    def until(self, work: Callable[[], Value]) -> Value:
        """What `work` returns. It has no request context. Raises GatewayStopping."""


@dataclass(frozen=True)
class Services:
    """Everything that tools stand on. `uses` are for what may go on when the answer is sent, and
    `short_uses` for the rest."""

    creation: CreationService
    sandboxes: SandboxService
    changes: ChangeService
    snapshots: SnapshotServices
    commands: Commands
    files: Files
    uses: SandboxUses
    short_uses: SandboxUses
    held_output: Budget
    waiting: Waiting
    port_address: Callable[[str, int], PortToken]
    is_listening: Callable[[str, int], bool]
    """Whether a server listens on a port of a container."""


@dataclass(frozen=True)
class Defaults:
    """What calls get that do not say otherwise. Seconds and characters."""

    wait_s: float = 45.0
    characters: int = 20_000
    most_characters: int = 100_000
    timeout_s: float | None = None

    def budget(self, asked: int | None) -> int:
        """Characters that an answer may have."""
        return min(self.characters if asked is None else asked, self.most_characters)
