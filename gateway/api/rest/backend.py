"""What the REST edge needs of the services behind it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from gateway.commands.command_spec import CommandSpec
from gateway.errors import GatewayError
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.models import (
    Changes,
    Check,
    CommandRequest,
    CommandSummary,
    PostureCheck,
    SandboxChange,
    SandboxCreate,
    SandboxStatus,
)
from gateway.use.place import Place
from gateway.use.sandbox_use import Leases


class SandboxView(Protocol):
    """A sandbox as the edge shows it; it has the fields of `gateway.schemas.models.Sandbox`."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def cpus(self) -> float: ...

    @property
    def memory_mb(self) -> int: ...

    @property
    def pids(self) -> int: ...

    @property
    def disk_mb(self) -> int | None: ...


class CreatedView(Protocol):
    """What came of a create."""

    @property
    def view(self) -> SandboxView: ...

    @property
    def is_replay(self) -> bool:
        """Whether it is the first sandbox of the idempotency key, made earlier."""


class Usage(Protocol):
    """What a sandbox uses: see `gateway.engine.interface.ContainerUsage`."""

    @property
    def cpu_s(self) -> float: ...

    @property
    def cpu_percent(self) -> float: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def pids(self) -> int: ...

    @property
    def disk_bytes(self) -> int | None: ...

    @property
    def received_bytes(self) -> int: ...

    @property
    def sent_bytes(self) -> int: ...


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
        """A new sandbox, ready to be used, or the first one of the idempotency key. Whoever
        `has_left` while there was no room gets none.

        Raises BadFields, TooManySandboxes, TooManyLabels, NameTaken, TooManyWaiting,
        IdempotencyKeyReused, IdempotencyKeySpent and any HostFault.
        """


class SandboxService(Leases, Protocol):
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
        """Those that fit, oldest first, and whether there are more than `limit`. `owner` None:
        everybody's."""

    def usage(self, sandbox_id: str) -> tuple[Usage, SandboxView]:
        """What it uses and may use. Raises SandboxNotFound, SandboxBusy."""


class ChangeService(Protocol):
    """Changes and removes sandboxes. Any method may raise a HostFault."""

    def change(self, sandbox_id: str, change: SandboxChange) -> SandboxView:
        """Raises SandboxNotFound, BadFields, TooManyLabels."""

    def pause(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound, SandboxBusy."""

    def resume(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound, SandboxBusy."""

    def delete(self, sandbox_id: str) -> None:
        """Gone when this returns. Raises SandboxNotFound."""


class SnapshotView(Protocol):
    """A snapshot; it has the fields of `gateway.schemas.models.Snapshot`."""

    @property
    def snapshot_id(self) -> str: ...


class SnapshotTaking(Protocol):
    """Takes snapshots."""

    def take(self, sandbox_id: str, *, name: str | None, labels: Mapping[str, str]) -> SnapshotView:
        """Raises SandboxNotFound, SandboxBusy, SnapshotsMissing, SnapshotNameTaken,
        TooManySnapshots and any HostFault."""


class SnapshotKeeping(Protocol):
    """Shows and removes an owner's snapshots. Any method may raise a HostFault, and
    SnapshotNotFound."""

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
        """Those that fit, oldest first, and whether there are more than `limit`."""

    def delete(self, word: str, *, owner: str) -> None:
        """Nobody finds it any more when this returns."""


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
    ) -> Sequence[ForkedView]:
        """Raises what `SnapshotTaking.take` does."""


class RestoreService(Protocol):
    """Brings sandboxes back."""

    def restore(self, sandbox_id: str, word: str, *, of_sandbox: str | None) -> SandboxView:
        """Raises SandboxNotFound, SandboxBusy, SnapshotNotFound, SnapshotTooLarge,
        BaseImageChanged, SnapshotsMissing and any HostFault."""


class ComparisonService(Protocol):
    """Tells what sandboxes changed."""

    def changes(self, sandbox_id: str, since: str | None, *, of_sandbox: str | None) -> Changes:
        """Since a snapshot or, None, against the image. Raises SandboxNotFound, SandboxBusy,
        SnapshotNotFound, SnapshotUnrelated, SnapshotsMissing and any HostFault."""


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

    @property
    def comparing(self) -> ComparisonService: ...


class TemplateView(Protocol):
    """A template; it has the fields of `gateway.schemas.models.Template`."""

    @property
    def name(self) -> str: ...


class Building(Protocol):
    """One build of a template."""

    def receive(self, pieces: Iterable[bytes]) -> None:
        """Take the context. Raises TooLarge, BadTemplate, BuildTimeout, what `pieces` raises, and
        any HostFault."""

    def events(self) -> Generator[str | TemplateView, None, None]:
        """Output, and at the end the template. Ends the build when it is closed. Raises
        BuildFailed, TemplateTooLarge and any HostFault."""


class TemplateBuilding(Protocol):
    """Builds templates."""

    def build(self, name: str, made_by: str) -> AbstractContextManager[Building]:
        """What has not become a template by the end of the block is removed. Raises BadTemplate,
        TemplateNameTaken, TooManyTemplates and any HostFault."""


class TemplateKeeping(Protocol):
    """Shows and removes templates. Any method may raise a HostFault."""

    def get(self, name: str) -> TemplateView:
        """Raises TemplateNotFound."""

    def list(self) -> Sequence[TemplateView]:
        """By name."""

    def delete(self, name: str) -> None:
        """Raises TemplateNotFound."""


class TemplateServices(Protocol):
    """All that is done with templates."""

    @property
    def building(self) -> TemplateBuilding: ...

    @property
    def keeping(self) -> TemplateKeeping: ...


class EventLike(Protocol):
    """Something that happened to a sandbox."""

    @property
    def number(self) -> int: ...

    @property
    def sandbox_id(self) -> str: ...

    @property
    def at(self) -> float: ...

    @property
    def event(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...


class LifecycleService(Protocol):
    """Tells what happened to sandboxes. Any method may raise StoreUnavailable."""

    def since(
        self, number: int, *, sandbox_id: str | None, owner: str | None, limit: int
    ) -> Sequence[EventLike]:
        """Events after `number`, oldest first, of one sandbox or all of an owner. Raises
        SandboxNotFound."""

    def last_number(self) -> int:
        """Of the latest event of all."""

    def follow(
        self, number: int, *, sandbox_id: str | None, owner: str | None
    ) -> Generator[Sequence[EventLike], None, None]:
        """Events after `number`, and then what happens, as many at a time as there are. To be used
        within `place_of`."""

    def place_of(self, owner: str) -> AbstractContextManager[None]:
        """The right of an owner to follow events. Entering raises TooManyFollowers."""


Encoding = Literal["utf-8", "base64"]


class CommandService(Protocol):
    """Runs, follows and steers commands, within `using`. Any method may raise a HostFault or a
    SandboxFault; each but `run` also FeatureMissing where the sandbox has no agent."""

    def using(self, container_id: str, linger_s: float) -> AbstractContextManager[None]:
        """Keep ready what commands need, as long as inside and a little longer."""

    def spec(self, request: CommandRequest, request_id: str) -> CommandSpec:
        """The request in the form that the other methods take."""

    def run(self, place: Place, spec: CommandSpec) -> AbstractContextManager[ResultMessage]:
        """Run to the end. The result is accounted for within the block."""

    def start(self, place: Place, spec: CommandSpec) -> tuple[int | None, str | None]:
        """Start and go; the pid, where there is one yet, and the checkpoint before it."""

    def follow(self, place: Place, spec: CommandSpec) -> Any:
        """Start, or find again. It is iterated over for its CommandEvents, to the exit."""

    def attach(self, place: Place, request_id: str, offsets: tuple[int, int]) -> Any:
        """Likewise, of a command that is there. Iterating raises CommandNotFound, BadOffset."""

    def outcome(
        self,
        place: Place,
        followed: Any,
        *,
        spec: CommandSpec | None = None,
        encoding: Encoding | None = None,
        cap: int = ...,
    ) -> AbstractContextManager[ResultMessage]:
        """The result of what was followed to its exit."""

    def list(self, place: Place, request_id: str | None = None) -> list[CommandSummary]:
        """Running and lately finished ones, oldest first."""

    def send_signal(self, place: Place, request_id: str, signal: str) -> None:
        """Raises CommandNotFound, CommandFinished, BadRequest."""

    def write_stdin(self, place: Place, request_id: str, data: bytes, eof: bool) -> None:
        """Blocks while the command does not read.

        Raises CommandNotFound, CommandFinished, StdinNotOpen.
        """


class MetricsService(Protocol):
    """Knows what the gateway has counted, in all its workers."""

    def text(self) -> bytes:
        """For Prometheus, in the format of `gateway.metrics.CONTENT_TYPE`."""


class ReadinessService(Protocol):
    """Looks whether sandboxes can be served."""

    def look(self) -> tuple[dict[str, Check], dict[str, PostureCheck]]:
        """Each thing that must work, and how safe the host is, by name. What fails is in the
        answer and is not raised."""
