"""The right to use a sandbox, for as long as a client or a request works in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from gateway.errors import (
    ClientFault,
    ContainerGone,
    GatewayError,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
)
from gateway.logs.line_budget import bounded_log
from gateway.use.place import Place

log = bounded_log(__name__)

LINK_KEPT_S = 20.0
"""How long the link into a sandbox stays when a request is done with it, or a create with the
sandbox. Making one takes about 70 ms, and who runs commands runs several."""


class Leases(Protocol):
    """Gives and takes the right to use a sandbox, which is a `Place`."""

    def get(self, sandbox_id: str) -> object:
        """Raises SandboxNotFound, and finds out in time that a sandbox has ended."""

    def lease(self, sandbox_id: str) -> Any:
        """A paused sandbox is resumed. Raises SandboxNotFound. Whoever has a lease returns it."""

    def release(self, lease: Any) -> None:
        """May be repeated."""

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, with the boot time since when."""

    def resume_leased(self, sandbox_id: str) -> None:
        """Resume a sandbox for somebody who has a lease. Raises what `lease` does."""

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""


class CommandWatcher(Protocol):
    """Knows whether something runs in a sandbox."""

    def keep(self, lease: Any) -> None:
        """Give the lease back once nothing runs any more. Does not block."""


class KeptReady(Protocol):
    """Keeps ready what commands need, as long as inside and `linger_s` seconds longer."""

    def using(self, container_id: str, linger_s: float) -> AbstractContextManager[None]: ...


class SandboxUse:
    """One client, or one request, at work in a sandbox, which is not idle meanwhile. Whoever began
    it ends it: the block of `with` does, and `end`."""

    def __init__(
        self, place: Place, leases: Leases, commands: KeptReady, watcher: CommandWatcher
    ) -> None:
        self.place = place
        self.may_run = False
        """Whether a command that was started here may go on when this ends."""
        self._leases = leases
        self._commands = commands
        self._watcher = watcher
        self._ended = False

    def linked(self, linger_s: float = 0.0) -> AbstractContextManager[None]:
        """Keep the link into the sandbox, as long as inside and `linger_s` seconds longer."""
        return self._commands.using(self.place.container_id, linger_s)

    def wake(self, asked_at: float) -> None:
        """Whoever works here has asked for something at `asked_at` (boot time) and waits: resume
        the sandbox if it was paused before that. What is paused later stays paused."""
        sandbox_id = self.place.sandbox_id
        try:
            since = self._leases.paused_among({sandbox_id}).get(sandbox_id)
            if since is not None and since < asked_at:
                self._leases.resume_leased(sandbox_id)
        except GatewayError as error:
            log.warning("cannot resume sandbox %s: %s", sandbox_id, error)

    def end(self) -> None:
        """Give the lease back or, while a command may run, leave it to whoever watches what runs
        there. May be repeated."""
        if self._ended:
            return
        self._ended = True
        if not self.may_run:
            try:
                self._leases.release(self.place)
                return
            except StoreUnavailable as error:
                log.warning("cannot give a lease back yet: %s", error)
        self._watcher.keep(self.place)

    def __enter__(self) -> SandboxUse:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()


class SandboxUses:
    """Lets clients and requests use sandboxes."""

    def __init__(self, leases: Leases, commands: KeptReady, watcher: CommandWatcher) -> None:
        self._leases = leases
        self._commands = commands
        self._watcher = watcher

    def begin(self, sandbox_id: str) -> SandboxUse:
        """Begin to use a sandbox; a paused one is resumed. Raises SandboxNotFound, SandboxBusy and
        the engine's errors."""
        place = self._leases.lease(sandbox_id)
        return SandboxUse(place, self._leases, self._commands, self._watcher)

    @contextmanager
    def of(self, sandbox_id: str) -> Iterator[SandboxUse]:
        """Use a sandbox within the block, for one request; its link stays a while for the next.

        Raises what `begin` does, and SandboxNotFound also when it ends meanwhile.
        """
        with self.begin(sandbox_id) as use:
            try:
                with use.linked(LINK_KEPT_S):
                    yield use
            except ClientFault:
                use.may_run = False  # it was refused
                raise
            except (ContainerGone, SandboxFault) as error:
                if self.end_of(sandbox_id) is not None:
                    raise SandboxNotFound(sandbox_id) from error
                raise

    def end_of(self, sandbox_id: str) -> str | None:
        """Why a sandbox is no more; None if it is still there, as far as is known."""
        try:
            self._leases.get(sandbox_id)
            return None
        except SandboxNotFound:
            return self._leases.ended_among({sandbox_id}).get(sandbox_id, "deleted")
        except GatewayError:
            return None
