"""The one way a sandbox ends: claimed in the store, removed from the engine, noted as ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import EngineFault
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)


class Removal:
    """Carries out removals whose claim succeeded.

    `forget_link` closes this process's link to a container, if it has one; `last_look` notes what
    its agent still knows about the last commands, in bounded time, and raises nothing.
    `on_ended` is told why each one ended.
    """

    def __init__(
        self,
        store: SandboxStore,
        engine: Engine,
        forget_link: Callable[[str], None],
        last_look: Callable[[SandboxRow], None],
        on_ended: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._forget_link = forget_link
        self._last_look = last_look
        self._on_ended = on_ended

    def carry_out(self, row: SandboxRow) -> None:
        """Remove the container of a sandbox in state `removing`.

        When the engine fails the sandbox is `ready` again, so that the next try finds it, and the
        engine's error is raised.
        """
        if row.container_id is not None:
            if row.state == "ready":
                self._last_look(row)
            try:
                self._engine.remove(row.container_id)
            except EngineFault:
                self._store.give_up_removal(row.sandbox_id)
                raise
            self._forget_link(row.container_id)
        self.finish(row)

    def finish(self, row: SandboxRow) -> None:
        """The container of a sandbox in state `removing` is gone."""
        if self._store.mark_ended(row.sandbox_id, "deleted", ended_at=clock.wall_s()):
            self._on_ended(self._store.end_reasons([row.sandbox_id]).get(row.sandbox_id, "deleted"))

    def note_gone(
        self, row: SandboxRow, reason: str, detail: str, exit_code: int | None = None
    ) -> None:
        """The container is not there, or does not run any more: end the sandbox.

        What is left of the container is removed; if the engine fails now, reconciliation will.
        """
        ended = self._store.mark_ended(
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
