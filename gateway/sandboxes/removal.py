"""The one way a sandbox ends: claimed in the store, removed from the engine, noted as ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import EngineFault
from gateway.store.sandboxes import SandboxRow, SandboxStore

log = logging.getLogger(__name__)


class Removal:
    """Carries out removals whose claim succeeded.

    `forget_link` closes this process's link to a container, if it has one.
    """

    def __init__(
        self, store: SandboxStore, engine: Engine, forget_link: Callable[[str], None]
    ) -> None:
        self._store = store
        self._engine = engine
        self._forget_link = forget_link

    def carry_out(self, row: SandboxRow) -> None:
        """Remove the container of a sandbox in state `removing`.

        When the engine fails the sandbox is `ready` again, so that the next try finds it, and the
        engine's error is raised.
        """
        if row.container_id is not None:
            try:
                self._engine.remove(row.container_id)
            except EngineFault:
                self._store.give_up_removal(row.sandbox_id)
                raise
            self._forget_link(row.container_id)
        self._store.mark_ended(row.sandbox_id, "deleted", ended_at=clock.wall_s())

    def note_gone(self, row: SandboxRow, reason: str) -> None:
        """The container is not there, or does not run any more: end the sandbox.

        What is left of the container is removed; if the engine fails now, reconciliation will.
        """
        if self._store.mark_ended(row.sandbox_id, reason, ended_at=clock.wall_s()):
            log.info("sandbox %s ended: %s", row.sandbox_id, reason)
        if row.container_id is None:
            return
        self._forget_link(row.container_id)
        try:
            self._engine.remove(row.container_id)
        except EngineFault as error:
            log.warning("cannot remove what is left of %s: %s", row.sandbox_id, error)
