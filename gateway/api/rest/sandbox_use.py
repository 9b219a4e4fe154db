"""The right to use a sandbox, for as long as a request works in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.api.rest.backend import CommandService, CommandWatcher, Leases
from gateway.commands.place import Place
from gateway.commands.run_and_steer import LINK_KEPT_S
from gateway.errors import (
    ClientFault,
    ContainerGone,
    GatewayError,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
)
from gateway.logs.line_budget import bounded_log

log = bounded_log(__name__)


@dataclass
class Use:
    """One request at work in a sandbox."""

    place: Place
    may_run: bool = False
    """Whether a command that this request has started may go on when the request ends."""


class Usage:
    """Lets requests use sandboxes. While one is used it is not idle."""

    def __init__(self, leases: Leases, commands: CommandService, watcher: CommandWatcher) -> None:
        self._leases = leases
        self._commands = commands
        self._watcher = watcher

    @contextmanager
    def of(self, sandbox_id: str) -> Iterator[Use]:
        """Use a sandbox within the block. Raises SandboxNotFound, also when it ends meanwhile."""
        lease = self._leases.lease(sandbox_id)
        use = Use(lease)
        try:
            with self._commands.using(lease.container_id, LINK_KEPT_S):
                yield use
        except ClientFault:
            use.may_run = False  # it was refused
            raise
        except (ContainerGone, SandboxFault) as error:
            if self.end_of(sandbox_id) is not None:
                raise SandboxNotFound(sandbox_id) from error
            raise
        finally:
            self._give_back(lease, use)

    def end_of(self, sandbox_id: str) -> str | None:
        """Why a sandbox is no more; None if it is still there, as far as is known."""
        try:
            self._leases.get(sandbox_id)
            return None
        except SandboxNotFound:
            return self._leases.ended_among({sandbox_id}).get(sandbox_id, "deleted")
        except GatewayError:
            return None

    def _give_back(self, lease: Place, use: Use) -> None:
        if not use.may_run:
            try:
                self._leases.release(lease)
                return
            except StoreUnavailable as error:
                log.warning("cannot give a lease back yet: %s", error)
        self._watcher.keep(lease)
