"""Ends and pauses sandboxes whose time is over, and warns of it before."""

from __future__ import annotations

import logging
from typing import Protocol

import gevent
from gevent.pool import Pool

from gateway import clock
from gateway.errors import AgentUnavailable, ContainerGone, EngineFault, SandboxFault
from gateway.sandboxes.ending.idle_and_lifetime import Deadline, deadline_of, warning_of
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.store.rows import SandboxRow
from gateway.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)

AT_A_TIME = 10

ANSWER_LIMIT_S = 10.0
"""How long an agent may take to say what it runs. One that was stopped never does."""


class CommandWatcher(Protocol):
    """What is known about commands that run without a client."""

    def busy(self, container_id: str) -> bool:
        """Whether a command runs in the sandbox. Raises SandboxFault when it cannot be asked."""

    def watch(self, sandbox_id: str) -> gevent.Greenlet:
        """Hold a lease on the sandbox until nothing runs in it any more. Does not block."""


class Expiry:
    """Carries out deadlines (`gateway.sandboxes.ending.idle_and_lifetime`)."""

    def __init__(
        self,
        store: SandboxStore,
        removal: Removal,
        pausing: PauseAndResume,
        watcher: CommandWatcher,
        warning_s: float,
    ) -> None:
        self._store = store
        self._removal = removal
        self._pausing = pausing
        self._watcher = watcher
        self._warning_s = warning_s
        self._pool = Pool(AT_A_TIME)
        self._under_way: set[str] = set()

    def sweep(self) -> None:
        """Begin one round. A sandbox that fails, or takes long, does not stop the others."""
        now, boot_id = clock.boot_s(), clock.boot_id()
        for row in self._store.due(by=now + self._warning_s, boot_id=boot_id):
            deadline = deadline_of(row, boot_id=boot_id)
            warning = warning_of(row, now=now, boot_id=boot_id, warning_s=self._warning_s)
            if warning is not None:
                ends_at = round(clock.wall_s() + warning.due - now, 3)
                self._store.warn(row.sandbox_id, reason=warning.reason, due=warning.due, at=ends_at)
            if deadline is None or deadline.due > now:
                continue
            # Side by side, and not waited for: one whose agent does not answer must hold up
            # neither the others nor the next round.
            if row.sandbox_id not in self._under_way and self._pool.free_count() > 0:
                self._under_way.add(row.sandbox_id)
                self._pool.spawn(self._look_at, row, deadline)

    def _look_at(self, row: SandboxRow, deadline: Deadline) -> None:
        try:
            if deadline.reason == "timeout" and deadline.action == "pause":
                self._pausing.pause_at_end(row)
            elif deadline.reason == "timeout":
                self._end_of_life(row)
            else:
                self._end_of_idleness(row, deadline)
        except (ContainerGone, EngineFault) as error:
            log.warning("cannot clean up sandbox %s yet: %s", row.sandbox_id, error)
        except Exception:
            log.exception("cleaning up sandbox %s failed", row.sandbox_id)
        finally:
            self._under_way.discard(row.sandbox_id)

    def _end_of_life(self, row: SandboxRow) -> None:
        """Whoever uses it, whatever runs in it."""
        detail = f"its lifetime of {row.timeout_s:g} s was over"
        if self._removal.claim(row.sandbox_id, "timeout", detail):
            log.info("the lifetime of sandbox %s is over", row.sandbox_id)
            self._removal.carry_out(row)

    def _end_of_idleness(self, row: SandboxRow, deadline: Deadline) -> None:
        if (
            row.state != "paused"
            and row.container_id is not None
            and self._runs_something(row.container_id)
        ):
            self._watcher.watch(row.sandbox_id)
            return
        # Only if nobody has come since the row was read: a connect changes leases, a disconnect
        # changes `idle_since`, and either makes the claim fail.
        if deadline.action == "pause":
            self._pausing.pause_idle(row)
        elif self._removal.claim_idle(row):
            log.info("sandbox %s has been idle for too long", row.sandbox_id)
            self._removal.carry_out(row)

    def _runs_something(self, container_id: str) -> bool:
        silence = AgentUnavailable(f"no answer within {ANSWER_LIMIT_S:g} s")
        try:
            with gevent.Timeout(ANSWER_LIMIT_S, silence):
                return self._watcher.busy(container_id)
        except ContainerGone:
            return False
        except SandboxFault as error:
            log.warning("container %.12s does not say what it runs: %s", container_id, error)
            return False
