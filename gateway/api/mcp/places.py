"""The sandboxes, commands and snapshots that calls name, as far as the caller may see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.api.mcp import failures
from gateway.api.mcp.backend import Services
from gateway.errors import CommandNotFound, GatewayError, SandboxNotFound, SnapshotNotFound
from gateway.middleware import authentication
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUse

_COMMAND_CHARACTERS = 40


class Places:
    """Finds what is meant, and tells what there is where nothing is."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @contextmanager
    def sandbox(self, given: str) -> Iterator[str]:
        """The id of the sandbox that is meant by an id or a name. Raises ToolFailed, also for what
        is found out about sandbox and snapshots within the block."""
        try:
            yield authentication.entered(given)
        except SandboxNotFound as error:
            raise failures.no_sandbox(given, error, self._live) from None

    @contextmanager
    def use(self, given: str, *, may_go_on: bool = False) -> Iterator[SandboxUse]:
        """Use a sandbox for a call; `may_go_on`: what is begun may outlast it."""
        uses = self._services.uses if may_go_on else self._services.short_uses
        with self.sandbox(given) as sandbox_id, uses.of(sandbox_id) as use:
            yield use

    @contextmanager
    def command(self, given: str, request_id: str) -> Iterator[SandboxUse]:
        """Use a sandbox for a call about one of its commands."""
        with self.use(given) as use:
            try:
                yield use
            except CommandNotFound as error:
                place = use.place
                raise failures.no_command(
                    request_id, error, lambda: self._commands(place)
                ) from None

    @contextmanager
    def snapshot(self, given: str) -> Iterator[None]:
        """Do something with a snapshot."""
        try:
            yield
        except SnapshotNotFound as error:
            raise failures.no_snapshot(given, error, self._snapshots) from None

    def _live(self) -> list[str]:
        owner = authentication.caller().name or None
        found, _ = self._services.sandboxes.list(
            status=None, labels={}, limit=None, after=None, owner=owner
        )
        return [one.sandbox_id for one in reversed(found[-failures.MOST_IDS :])]

    def _commands(self, place: Place) -> list[str]:
        try:
            listed = self._services.commands.list(place)
        except GatewayError:
            return []
        return [
            f"{one.request_id} ({one.status}: {one.command[:_COMMAND_CHARACTERS]!r})"
            for one in reversed(listed[-failures.MOST_IDS :])
        ]

    def _snapshots(self) -> list[str]:
        found, _ = self._services.snapshots.keeping.list(
            owner=authentication.caller().name,
            sandbox_id=None,
            labels={},
            limit=None,
            after=None,
        )
        return [one.name or one.snapshot_id for one in reversed(found[-failures.MOST_IDS :])]
