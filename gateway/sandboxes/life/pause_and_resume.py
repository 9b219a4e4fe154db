"""Pausing sandboxes, and resuming them as soon as somebody wants to use them."""

from __future__ import annotations

import logging
import time

import gevent

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import ContainerGone, EngineFault, EngineRefused, SandboxBusy
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.ending.idle_and_lifetime import end_after_pause
from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""How long one waits for another who is in the middle of pausing the sandbox."""

LOOK_S = 0.02
"""How soon the engine is asked again that could not freeze or thaw just now."""

TRIES = 3

_STANDING = ("running", "paused")


class PauseAndResume:
    """Pauses and resumes. The store says what is wanted, the engine what is.

    Between `ready` and `paused` lies `pausing`: a client that comes meanwhile waits for its end
    and resumes then. Without it, a late pause would hit somebody who uses the sandbox.
    """

    def __init__(
        self, store: SandboxStore, engine: Engine, worker_id: str, feed: ChangeFeed
    ) -> None:
        self._store = store
        self._engine = engine
        self._worker_id = worker_id
        self._feed = feed

    def pause(self, row: SandboxRow, *, ends: bool = True) -> None:
        """Pause a sandbox, whoever uses it. One that is paused already stays so. Unless it `ends`
        while it is paused, its lifetime stands still and begins anew when it is resumed.

        Raises SandboxBusy, ContainerGone and the engine's errors.
        """
        if row.state == "paused":
            return
        if not self._store.claim_pause(row.sandbox_id, worker_id=self._worker_id):
            raise SandboxBusy()
        self._carry_out(row, by="client", ends=ends and not _is_paused_at_end(row))

    def pause_at_end(self, row: SandboxRow) -> bool:
        """Pause a sandbox whose lifetime is over, whoever uses it. False when another was first."""
        claimed = self._store.claim_pause(row.sandbox_id, worker_id=self._worker_id)
        if claimed:
            self._carry_out(row, by="timeout", ends=False)
        return claimed

    def pause_idle(self, row: SandboxRow) -> bool:
        """Pause a sandbox if nobody has used it since the row was read."""
        claimed = self._store.claim_idle_pause(
            row.sandbox_id, idle_since=row.idle_since, worker_id=self._worker_id
        )
        if claimed:
            self._carry_out(row, by="idle", ends=not _is_paused_at_end(row))
        return claimed

    def _carry_out(self, row: SandboxRow, by: str, *, ends: bool) -> None:
        assert row.container_id is not None
        # What a client asks for from now on is newer than the pause, and resumes it.
        since = clock.boot_s()
        try:
            self.freeze(row.container_id)
        except BaseException:
            self._store.give_up_pause(row.sandbox_id)
            raise
        if self._store.mark_paused(row.sandbox_id, "pausing", since=since, by=by, ends=ends):
            log.info("sandbox %s is paused (%s)", row.sandbox_id, by)

    def freeze(self, container_id: str) -> None:
        """Stop its processes where they are. runc gives up ("unable to freeze") where many are
        being started. Raises ContainerGone and the engine's errors."""
        for _ in range(TRIES - 1):
            try:
                self._engine.pause(container_id)
                return
            except EngineRefused as error:
                log.info("container %.12s is not paused yet: %s", container_id, error)
                gevent.sleep(LOOK_S)
        self._engine.pause(container_id)

    def resume(self, sandbox_id: str) -> SandboxRow | None:
        """Make a sandbox that may be paused run; its row then, None if there is none any more.

        Whoever wants to use it holds a lease already, so that nobody pauses it again for
        idleness. Raises SandboxBusy, ContainerGone and the engine's errors.
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            mark = self._feed.mark
            row = self._store.get(sandbox_id)
            if row is None or row.state not in ("pausing", "paused", "held"):
                return row
            left_s = deadline - time.monotonic()
            if row.state == "paused" and self._resume(row, is_last_try=left_s <= 0):
                now = clock.boot_s()
                self._store.mark_resumed(sandbox_id, now=now, expires=end_after_pause(row, now=now))
            elif left_s < 0:
                raise SandboxBusy()
            elif row.state == "paused":
                gevent.sleep(LOOK_S)
            else:
                self._feed.wait_after(mark, left_s)

    def _resume(self, row: SandboxRow, *, is_last_try: bool) -> bool:
        """False when another's pausing or resuming comes between, and it must be tried again."""
        assert row.container_id is not None
        try:
            self._engine.unpause(row.container_id)
        except (ContainerGone, EngineRefused):
            if is_last_try or self._engine.inspect(row.container_id).state not in _STANDING:
                raise
            return False
        return True

    def follow_engine(self, row: SandboxRow, state: str, *, since: float | None = None) -> None:
        """Bring the store in line with what the engine says of the container: another hand may
        have paused it (at boot time `since`, if that is known) or resumed it.

        Whoever came after it was paused wants to use it, so it is resumed again. One in the middle
        of `pausing` is its worker's matter.
        """
        if state == "paused" and row.state == "ready":
            since = clock.boot_s() if since is None else since
            noted = self._store.mark_paused(row.sandbox_id, "ready", since=since, by="engine")
            if noted and self._store.has_clients_since(row.sandbox_id, since):
                self.resume(row.sandbox_id)
        elif state == "running" and row.state == "paused":
            now = clock.boot_s()
            expires = end_after_pause(row, now=now)
            self._store.mark_resumed(row.sandbox_id, now=now, expires=expires)

    def end_pause_of_dead_worker(self, row: SandboxRow) -> None:
        """The worker that was pausing it was killed: the engine knows how far it came."""
        if row.container_id is None:
            return
        try:
            state = self._engine.inspect(row.container_id).state
        except (ContainerGone, EngineFault) as error:
            log.info("cannot look at %s yet: %s", row.sandbox_id, error)
            return
        if state == "paused":
            self._store.mark_paused(row.sandbox_id, "pausing", since=clock.boot_s(), by="engine")
        elif state == "running":
            self._store.give_up_pause(row.sandbox_id)


def _is_paused_at_end(row: SandboxRow) -> bool:
    """Whether one has no end while it is paused."""
    return bool(option_of(row, "timeout_action") == "pause")
