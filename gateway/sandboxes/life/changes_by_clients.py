"""Change, pause, resume and delete a sandbox."""

from __future__ import annotations

import math
from typing import Any

from gateway import clock
from gateway.errors import BadFields, ContainerGone, SandboxBusy
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.sandbox_view import SandboxView
from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.schemas.models import SandboxChange
from gateway.schemas.models.sandboxes import given
from gateway.store.sandboxes import SandboxStore


class Changes:
    """What clients may do to a sandbox as a whole."""

    def __init__(
        self,
        store: SandboxStore,
        check: SandboxCheck,
        removal: Removal,
        pausing: PauseAndResume,
        resolver: SpecResolver,
    ) -> None:
        self._store = store
        self._check = check
        self._removal = removal
        self._pausing = pausing
        self._resolver = resolver

    def change(self, sandbox_id: str, change: SandboxChange) -> SandboxView:
        """Deadlines and labels. Raises SandboxNotFound, BadFields, TooManyLabels."""
        self._resolver.check_change(change)
        row = self._check.live(sandbox_id)
        values: dict[str, Any] = {}
        fields = given(change)
        if "labels" in fields:
            values["labels"] = dict(fields["labels"])
        if "idle_timeout" in fields:
            values["idle_timeout_s"] = fields["idle_timeout"]
        if "timeout" in fields:
            timeout_s = fields["timeout"]
            if timeout_s is None:
                timeout_s = self._resolver.default().timeout_s
            values["timeout_s"] = timeout_s
            values["expires"] = None if timeout_s is None else row.born + timeout_s
            if timeout_s is not None and values["expires"] <= clock.boot_s():
                raise BadFields(
                    "its lifetime would be over already",
                    errors=[
                        {
                            "loc": ["timeout"],
                            "msg": "counted from its creation, it would be over already",
                            "type": "in_the_past",
                        }
                    ],
                )
        if values and not self._store.change(sandbox_id, now=clock.boot_s(), **values):
            raise self._check.not_found(sandbox_id)
        return self._check.view(sandbox_id)

    def end_in(self, sandbox_id: str, after_s: float, *, only_later: bool = False) -> None:
        """Let its lifetime be over so many seconds from now; with `only_later` never sooner than
        it would be otherwise. At 0 it is ended, or paused, when this returns.

        Raises SandboxNotFound, BadFields, SandboxBusy and the engine's errors.
        """
        self._resolver.check_lifetime(after_s)
        row, now = self._check.live(sandbox_id), clock.boot_s()
        if only_later and row.state != "paused" and (row.expires or math.inf) >= now + after_s:
            return
        values = {"timeout_s": after_s, "expires": now + after_s}
        if not self._store.change(sandbox_id, now=now, **values):
            raise self._check.not_found(sandbox_id)
        if after_s == 0:
            self._end_now(sandbox_id)

    def _end_now(self, sandbox_id: str) -> None:
        row = self._check.live(sandbox_id)
        if option_of(row, "timeout_action") == "pause":
            self._pausing.pause(row, ends=False)
        elif self._removal.claim(sandbox_id, "timeout", "its lifetime was ended"):
            self._removal.carry_out(row)

    def pause(self, sandbox_id: str, *, ends: bool = True) -> SandboxView:
        """Pause it; unless it `ends` while it is paused, its lifetime begins anew when it is
        resumed. Raises SandboxNotFound, SandboxBusy and the engine's errors."""
        row = self._check.live(sandbox_id)
        if row.state == "starting":
            raise SandboxBusy("it is being created")
        try:
            self._pausing.pause(row, ends=ends)
        except ContainerGone:
            self._check.container_or_end(row)
            raise
        return self._check.view(sandbox_id)

    def resume(self, sandbox_id: str) -> SandboxView:
        """Resume it. Raises SandboxNotFound, SandboxBusy and the engine's errors."""
        self._check.resume(self._check.live(sandbox_id))
        return self._check.view(sandbox_id)

    def delete(self, sandbox_id: str) -> None:
        """Kill and remove a sandbox. Of several that try at once, one succeeds.

        Raises SandboxNotFound, and the engine's errors: then the sandbox is still there, but
        after EngineTimeout, when its removal goes on by itself or with the next call.
        """
        begun = self._store.get(sandbox_id)
        if begun is not None and begun.state == "removing" and self._removal.retry(begun):
            return
        row = self._check.live(sandbox_id)
        if row.state == "starting":
            self._removal.cancel_create(row)
        elif self._removal.claim(sandbox_id, "deleted"):
            self._removal.carry_out(row)
        else:
            raise self._check.not_found(sandbox_id)
