"""One sandbox."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..api_error import ApiError
from ..core import sandbox_calls, snapshot_calls
from ..core.command_calls import CommandOptions
from ..core.followed_events import follow_events
from ..core.retrying import Retrying
from ..core.sandbox_calls import SandboxOptions
from ..core.socket_messages import terminal_start
from ..core.steps import Call
from ..error_codes import SandboxNotFound
from ..models.commands import Changes
from ..models.sandboxes import AccessToken, Event, SandboxInfo, SandboxStats
from ..models.snapshots import Snapshot
from .commands import AsyncCommands, AsyncSession
from .driver import AsyncDriver
from .files import AsyncFiles
from .opening import Opening
from .sandbox_parts import AsyncPorts, AsyncSandboxSnapshots

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .gateway import AsyncGateway
    from .terminal import AsyncTerminal

P = ParamSpec("P")
T = TypeVar("T")


class AsyncSandbox:
    """A sandbox. `Sandbox.create(…)` makes one, whose `with` deletes it; `Sandbox.connect(…)` finds
    one by id or name, whose `with` leaves it as it is."""

    def __init__(
        self,
        driver: AsyncDriver,
        sandbox_id: str,
        access_token: str | None = None,
        *,
        is_deleted_at_end: bool = False,
        owned: AsyncGateway | None = None,
    ) -> None:
        self.id = sandbox_id
        self.access_token = access_token
        """Opens this sandbox and nothing else. Only from a create where there are API keys."""
        self.commands = AsyncCommands(driver, sandbox_id)
        self.files = AsyncFiles(driver, sandbox_id)
        self.snapshots = AsyncSandboxSnapshots(driver, sandbox_id)
        self.ports = AsyncPorts(driver, sandbox_id)
        self._driver = driver
        self._is_deleted_at_end = is_deleted_at_end
        self._owned = owned

    @classmethod
    def create(
        cls, gateway: AsyncGateway | None = None, **options: Unpack[SandboxOptions]
    ) -> Opening[AsyncSandbox]:
        """Make one, at `gateway` or at that of GATEWAY_URL."""
        return Opening(_at(gateway, lambda there: there.create(**options)))

    @classmethod
    def connect(cls, sandbox: str, gateway: AsyncGateway | None = None) -> Opening[AsyncSandbox]:
        """One that is there, by id or name. Raises SandboxNotFound."""
        return Opening(_at(gateway, lambda there: there.connect(sandbox)))

    def __repr__(self) -> str:
        return f"AsyncSandbox({self.id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._is_deleted_at_end:
                await self.delete()
        except SandboxNotFound:
            pass  # it has ended by itself
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that it has for itself. The sandbox goes on. May be repeated."""
        if self._owned is not None:
            await self._owned.aclose()

    # --- its life --------------------------------------------------------------------------------

    async def info(self) -> SandboxInfo:
        """As it is now. Raises SandboxNotFound, whose `ended` says why it is no more."""
        return await self._call(sandbox_calls.show)

    async def update(
        self,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> SandboxInfo:
        """Change what is given: seconds from its creation, seconds without use, all labels."""
        asked: dict[str, Any] = {"timeout": timeout, "idle_timeout": idle_timeout, "labels": labels}
        return await self._call(
            sandbox_calls.change,
            {name: value for name, value in asked.items() if value is not None},
        )

    async def pause(self) -> SandboxInfo:
        """Stop all its processes where they are. Whoever uses it resumes it."""
        return await self._call(sandbox_calls.set_paused, paused=True)

    async def resume(self) -> SandboxInfo:
        """Let its processes go on."""
        return await self._call(sandbox_calls.set_paused, paused=False)

    async def delete(self) -> None:
        """End it, and all that runs in it."""
        await self._call(sandbox_calls.delete)

    async def stats(self) -> SandboxStats:
        """What it uses now. Takes about a second."""
        return await self._call(sandbox_calls.stats)

    async def events(self, *, after: int | None = None) -> list[Event]:
        """What has happened to it, oldest first; for days after its end, too."""
        return await self._call(sandbox_calls.events, after=after)

    def follow_events(self, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Its history and what happens, to its end."""
        return self._driver.follow(follow_events(self._driver.retrying, self.id, after=after))

    async def issue_token(self) -> AccessToken:
        """One that opens this sandbox, for somebody without a key."""
        return await self._call(sandbox_calls.issue_token)

    async def revoke_tokens(self) -> None:
        """All that were issued for it."""
        await self._call(sandbox_calls.revoke_tokens)

    # --- its state -------------------------------------------------------------------------------

    def session(self, name: str) -> AsyncSession:
        """A shell that keeps its directory and variables from one command to the next."""
        return AsyncSession(self.commands, name)

    async def terminal(
        self,
        command: str | list[str] | None = None,
        *,
        cols: int = 80,
        rows: int = 24,
        **options: Unpack[CommandOptions],
    ) -> AsyncTerminal:
        """A terminal with a login shell, or with `command`, in it. By `request_id` others share it,
        and come back to it. Close it; the shell goes on until it is left."""
        from .terminal import AsyncTerminal

        size = (cols, rows)
        start = terminal_start(command, size, options)
        terminal = AsyncTerminal(self._driver, self.id, start, size)
        await terminal.connect()
        return terminal

    async def attach_terminal(
        self, request_id: str, *, cols: int = 80, rows: int = 24
    ) -> AsyncTerminal:
        """One that is there: with what it has shown lately. Raises CommandNotFound."""
        from .terminal import AsyncTerminal

        size = (cols, rows)
        start = {"request_id": request_id}
        terminal = AsyncTerminal(self._driver, self.id, start, size, is_there=True)
        await terminal.connect()
        await terminal.resize(cols, rows)
        return terminal

    async def fork(
        self, count: int = 1, **options: Unpack[SandboxOptions]
    ) -> list[AsyncSandbox | ApiError]:
        """Copies of it, with the files of one moment: one entry each, a sandbox (whose `with`
        deletes it) or why there is none."""
        made = await self._call(snapshot_calls.fork, count, options)
        return [
            one
            if isinstance(one, ApiError)
            else AsyncSandbox(
                self._driver, one.sandbox_id, one.access_token, is_deleted_at_end=True
            )
            for one in made
        ]

    async def restore(self, snapshot: str | Snapshot) -> SandboxInfo:
        """Bring it back to these files; what runs in it ends."""
        named = snapshot if isinstance(snapshot, str) else snapshot.snapshot_id
        return await self._call(snapshot_calls.restore, named)

    async def changes(self, since: str | Snapshot | None = None) -> Changes:
        """What its files have gained and lost since a snapshot or, without one, against its
        image."""
        named = since.snapshot_id if isinstance(since, Snapshot) else since
        return await self._call(sandbox_calls.changed_files, named)

    async def _call(
        self,
        call: Callable[Concatenate[Retrying, str, P], Call[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        return await self._driver.call(call(self._driver.retrying, self.id, *arguments, **named))


async def _at(
    gateway: AsyncGateway | None, find: Callable[[AsyncGateway], Opening[AsyncSandbox]]
) -> AsyncSandbox:
    if gateway is not None:
        return await find(gateway)
    from .gateway import AsyncGateway

    own = AsyncGateway()
    try:
        found = await find(own)
    except BaseException:
        await own.aclose()
        raise
    found._owned = own
    return found
