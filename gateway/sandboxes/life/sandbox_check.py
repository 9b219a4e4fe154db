"""Finds sandboxes: their rows, what the engine has of them, the error where one is no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gateway.engine.interface import ContainerInfo, Engine
from gateway.errors import (
    ContainerGone,
    EngineFault,
    HostToolFailed,
    SandboxBusy,
    SandboxNotFound,
)
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.ending.end_reasons import GONE, WANTED, ending_of
from gateway.sandboxes.ending.ended_not_found import not_found
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.requests_at_work import RequestsAtWork
from gateway.sandboxes.life.sandbox_view import SandboxView, status_of, view_of
from gateway.schemas.models import SandboxStatus
from gateway.store.rows import USABLE, SandboxRow
from gateway.store.sandboxes import SandboxStore

_STANDING = ("running", "paused")

VERDICT_S = 2.0
LOOK_S = 0.05
"""How long, and how often, one who found a stopped container waits for its end record."""


class SandboxCheck:
    """Looks at one sandbox at a time. `commands_of` gives the last commands of one that ended."""

    def __init__(
        self,
        store: SandboxStore,
        engine: Engine,
        removal: Removal,
        pausing: PauseAndResume,
        commands_of: Callable[[str], list[dict[str, Any]]],
        feed: ChangeFeed,
        requests: RequestsAtWork,
    ) -> None:
        self._store = store
        self._engine = engine
        self._removal = removal
        self._pausing = pausing
        self._commands_of = commands_of
        self._feed = feed
        self._requests = requests

    def view(self, sandbox_id: str) -> SandboxView:
        """As clients see it. Raises SandboxNotFound."""
        row = self.live(sandbox_id)
        if row.container_id is None:
            return view_of(row, "starting")
        if row.state == "held":
            return view_of(row)  # its container may be stopped for a moment
        return view_of(row, status_seen(row, self.container_or_end(row)))

    def resume(self, row: SandboxRow) -> SandboxRow:
        """The row of a sandbox that is not paused, or not any more. Raises SandboxNotFound,
        SandboxBusy and the engine's errors."""
        if row.state == "ready":
            return row
        try:
            resumed = self._pausing.resume(row.sandbox_id)
        except ContainerGone:
            self.container_or_end(row)
            raise
        if resumed is None or resumed.state not in ("starting", "ready"):
            raise self.not_found(row.sandbox_id)
        return resumed

    def live(self, sandbox_id: str) -> SandboxRow:
        """The row of one that has not ended. Raises SandboxNotFound."""
        row = self._store.get(sandbox_id)
        if row is None or row.state not in ("starting", *USABLE):
            raise not_found(sandbox_id, row, self._commands_of)
        [row] = self.as_used([row])
        return row

    def as_used(self, rows: Sequence[SandboxRow]) -> list[SandboxRow]:
        """The rows, in which requests that are at work show. Raises StoreUnavailable."""
        return self._requests.seen_in(rows)

    def not_found(self, sandbox_id: str) -> SandboxNotFound:
        """The error that says so, with the end record of one that has ended."""
        return not_found(sandbox_id, self._store.get(sandbox_id), self._commands_of)

    @contextmanager
    def until_it_ends(self, sandbox_id: str) -> Iterator[None]:
        """What fails within the block because the sandbox ends meanwhile is told as that: the
        engine refuses whatever is asked of a container that it is about to remove. Raises
        SandboxNotFound."""
        try:
            yield
        except ContainerGone as gone:
            raise self.not_found(sandbox_id) from gone
        except HostToolFailed:
            self.live(sandbox_id)
            raise
        except EngineFault as error:
            # Where nobody wanted the end, the engine's failure is what it came of.
            row = self._store.get(sandbox_id)
            if row is not None and row.end_reason in WANTED:
                raise self.not_found(sandbox_id) from error
            raise

    def container_or_end(self, row: SandboxRow) -> ContainerInfo:
        """The row's container, running or paused. Raises SandboxNotFound, and ends the sandbox
        if there is no such container any more."""
        assert row.container_id is not None
        try:
            container = self._engine.inspect(row.container_id)
        except ContainerGone:
            self._removal.note_gone(row, GONE.reason, GONE.detail)
            raise self.not_found(row.sandbox_id) from None
        if container.state not in _STANDING:
            container = self._found_stopped(row)
        return container

    def _found_stopped(self, row: SandboxRow) -> ContainerInfo:
        """Whoever follows the engine's events knows best why it stopped, and sees to it; if nobody
        does in time, this does. It may also just be restored: then it runs again. Raises
        SandboxNotFound, SandboxBusy and the engine's errors."""
        assert row.container_id is not None
        deadline = time.monotonic() + VERDICT_S
        while (left_s := deadline - time.monotonic()) > 0:
            mark = self._feed.mark
            now = self._store.get(row.sandbox_id)
            if now is None or now.state == "ended":
                raise self.not_found(row.sandbox_id)
            if now.restored_count != row.restored_count:
                break
            self._feed.wait_after(mark, left_s)
        try:
            container = self._engine.inspect(row.container_id)
            if container.state in _STANDING:
                return container
            now = self._store.get(row.sandbox_id)
            if now is not None and now.state == "held":
                raise SandboxBusy()
            end = ending_of(container, oom_seen_s_ago=None, engine_was_away=False)
        except ContainerGone:
            end = GONE
        self._removal.note_gone(row, end.reason, end.detail, end.exit_code)
        raise self.not_found(row.sandbox_id)


def status_seen(row: SandboxRow, container: ContainerInfo) -> SandboxStatus:
    """What the engine sees counts: another hand may have paused or resumed it just now."""
    if container.state == "paused":
        return "paused"
    status = status_of(row)
    if status == "paused":
        return "connected" if row.is_connected else "idle"
    return status
