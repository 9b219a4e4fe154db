"""A paused sandbox is not there for the data plane, unless its traffic may wake it."""

from __future__ import annotations

from flask import Flask, request

from gateway.api.e2b.backend import ChangeService, SandboxService
from gateway.errors import SandboxNotFound
from gateway.middleware.e2b_target import e2b_target


class Awake:
    """Lets requests through to sandboxes that run, and wakes those that may be woken."""

    def __init__(self, sandboxes: SandboxService, changes: ChangeService) -> None:
        self._sandboxes = sandboxes
        self._changes = changes

    def install(self, app: Flask) -> None:
        """Look at each request of the data plane that names its sandbox, before its route."""

        def look() -> None:
            target = e2b_target()
            if target is None or target.plane in ("control", "signed"):
                return
            sandbox_id = (request.view_args or {}).get("sandbox_id")
            if sandbox_id is not None:
                self.require(sandbox_id)

        app.before_request(look)

    def require(self, sandbox_id: str) -> None:
        """Raises SandboxNotFound for one that is paused and may not be woken, and what a resume
        raises. Of one that is no more it says nothing: whoever uses it next learns that."""
        if not self._sandboxes.paused_among({sandbox_id}):
            return
        notes = self._sandboxes.get(sandbox_id).notes
        if not notes.get("auto_resume", False) or not notes.get("keeps_memory", True):
            raise SandboxNotFound(sandbox_id)
        self._changes.resume(sandbox_id)
