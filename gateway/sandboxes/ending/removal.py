"""The one way a sandbox ends: claimed in the store, removed from the engine, noted as ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import EngineFault, EngineTimeout
from gateway.store.end_records import EndRecordStore
from gateway.store.rows import SandboxRow

log = logging.getLogger(__name__)


class Removal:
    """Claims removals and carries them out.

    `forget_link` closes this process's link to a container, if it has one; `last_look` notes what
    its agent still knows about the last commands, in bounded time, and raises nothing.
    `on_ended` is told why each one ended.
    """

    def __init__(
        self,
        endings: EndRecordStore,
        engine: Engine,
        forget_link: Callable[[str], None],
        last_look: Callable[[SandboxRow], None],
        worker_id: str,
        on_ended: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._endings = endings
        self._engine = engine
        self._forget_link = forget_link
        self._last_look = last_look
        self._worker_id = worker_id
        self._on_ended = on_ended

    def claim(self, sandbox_id: str, reason: str, detail: str = "") -> bool:
        """To `removing`, whoever is connected. False when somebody else was first."""
        return self._endings.claim_removal(sandbox_id, reason, detail, worker_id=self._worker_id)

    def claim_idle(self, row: SandboxRow) -> bool:
        """Like `claim`, but only if it has been idle all the time since the row was read."""
        return self._endings.claim_idle_removal(
            row.sandbox_id, idle_since=row.idle_since, worker_id=self._worker_id
        )

    def carry_out(self, row: SandboxRow) -> None:
        """Remove the container of a sandbox that was just claimed; `row` is from before that.

        Raises the engine's errors. An engine that did not answer in time may do it yet: the
        sandbox stays `removing`, for `carry_on`. After any other error it is `ready` again, so
        that the next try finds it.
        """
        if row.state == "ready" and row.container_id is not None:
            self._last_look(row)
        try:
            self._remove(row)
        except EngineTimeout:
            self._endings.leave_removal(row.sandbox_id)
            raise
        except EngineFault:
            self._endings.give_up_removal(row.sandbox_id)
            raise
        self.finish(row)

    def carry_on(self, row: SandboxRow) -> None:
        """Go on with the removal of a sandbox in state `removing`, whoever began it. Raises the
        engine's errors; it stays `removing` then: its container may be half gone."""
        self._remove(row)
        self.finish(row)

    def retry(self, row: SandboxRow) -> bool:
        """`carry_on`, in a client's request. False when another worker is removing it, or it has
        ended."""
        if not self._endings.take_up_removal(row.sandbox_id, worker_id=self._worker_id):
            return False
        try:
            self.carry_on(row)
        except EngineFault:
            self._endings.leave_removal(row.sandbox_id)
            raise
        return True

    def _remove(self, row: SandboxRow) -> None:
        if row.container_id is not None:
            self._engine.remove(row.container_id)
            self._forget_link(row.container_id)

    def finish(self, row: SandboxRow) -> None:
        """The container of a sandbox in state `removing` is gone."""
        why = self._endings.mark_ended(row.sandbox_id, "deleted", ended_at=clock.wall_s())
        if why is not None:
            self._on_ended(why)

    def leave(self, row: SandboxRow) -> None:
        """Its removal was begun by a worker that was killed: reconciliation goes on with it."""
        self._endings.leave_removal(row.sandbox_id)

    def cancel_create(self, row: SandboxRow) -> None:
        """End one in state `starting`. Whoever creates it finds out, and removes the container."""
        self._endings.mark_ended(row.sandbox_id, "deleted", ended_at=clock.wall_s())

    def fail_create(self, row: SandboxRow, detail: str) -> None:
        """It could not be created. It is not forgotten: should a container be left, reconciliation
        must know it for a failure."""
        self._endings.mark_ended(
            row.sandbox_id, "create_failed", ended_at=clock.wall_s(), detail=detail
        )

    def forget(self, *, before: float) -> None:
        """Drop the end records of those that ended before a wall-clock time."""
        self._endings.forget_ended(before=before)

    def note_gone(
        self, row: SandboxRow, reason: str, detail: str, exit_code: int | None = None
    ) -> None:
        """The container is not there, or does not run any more: end the sandbox.

        What is left of the container is removed; if the engine fails now, reconciliation will.
        """
        ended = self._endings.mark_ended(
            row.sandbox_id, reason, ended_at=clock.wall_s(), detail=detail, exit_code=exit_code
        )
        if ended:
            log.info("sandbox %s ended: %s (%s)", row.sandbox_id, reason, detail)
            self._on_ended(reason)
        if row.container_id is None:
            return
        self._forget_link(row.container_id)
        try:
            self._engine.remove(row.container_id)
        except EngineFault as error:
            log.warning("cannot remove what is left of %s: %s", row.sandbox_id, error)
