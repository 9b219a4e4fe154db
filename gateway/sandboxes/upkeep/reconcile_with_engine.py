"""Compares the engine's containers with the store: about what exists, the engine is right."""

from __future__ import annotations

import logging
import time

import gevent

from gateway import clock
from gateway.engine.interface import ContainerEvent, ContainerInfo, Engine
from gateway.errors import ContainerGone, EngineFault, GatewayError
from gateway.sandboxes.create.container_names import is_of_pool, new_name, new_pool_name, tells
from gateway.sandboxes.create.warm_pool import Pool
from gateway.sandboxes.ending.end_reasons import GONE, Ending, ending_of
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.spec.container_labels import INSTANCE, Origin, origin_of
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.sandboxes.upkeep.adoption import adopted
from gateway.sandboxes.upkeep.expiry import CommandWatcher
from gateway.store.events import EventStore
from gateway.store.rows import USABLE, SandboxRow
from gateway.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.5
"""After a container's end it is looked at: `docker rm -f` kills it first and removes it a moment
later, and an engine that stops kills all of them before it goes."""

OLDEST_NEWS_S = 5.0
"""An event that seems older came over a jump of the clock, or from an engine with another one."""

_ALIVE = ("running", "paused", "restarting")

_LOOKED_AT = ("ready", "pausing", "paused")
"""A sandbox that is held is stopped and started, or paused, by whoever holds it."""


class Reconciliation:
    """Corrects the store after a crash, or when somebody has used the engine directly."""

    def __init__(
        self,
        store: SandboxStore,
        events: EventStore,
        engine: Engine,
        removal: Removal,
        pausing: PauseAndResume,
        pool: Pool,
        resolver: SpecResolver,
        watcher: CommandWatcher,
        instance_id: str,
    ) -> None:
        self._store = store
        self._events = events
        self._engine = engine
        self._removal = removal
        self._pausing = pausing
        self._pool = pool
        self._resolver = resolver
        self._watcher = watcher
        self._instance_id = instance_id
        self._oom_at: dict[str, float] = {}
        """Boot time at which the engine said so, by container."""

    # --- one container -------------------------------------------------------------------------

    def notice(self, event: ContainerEvent) -> None:
        """Something happened to one container: look at that one."""
        if event.action == "oom":
            self._note_oom(event)
        elif event.action in ("die", "destroy", "pause", "unpause"):
            row = self._store.of_container(event.container_id)
            if row is None or row.state not in _LOOKED_AT:
                if row is not None and _is_late(row, event):
                    self._removal.finish(row)
                return  # the gateway's own doing
            if event.action == "die":
                gevent.spawn_later(LOOK_AGAIN_S, self._look_again, row.sandbox_id)
            else:
                # Whoever asked for something since then waits for an answer.
                age_s = min(max(0.0, clock.wall_s() - event.at), OLDEST_NEWS_S)
                since = clock.boot_s() - age_s
                self._look_at(row, since)

    def _look_again(self, sandbox_id: str) -> None:
        try:
            row = self._store.get(sandbox_id)
            if row is not None and row.state in _LOOKED_AT:
                self._look_at(row)
        except GatewayError as error:
            log.warning("cannot look at %s yet: %s", sandbox_id, error)
        except Exception:
            log.exception("looking at %s failed", sandbox_id)

    def _note_oom(self, event: ContainerEvent) -> None:
        self._oom_at[event.container_id] = clock.boot_s()
        row = self._store.of_container(event.container_id)
        if row is not None and row.state in USABLE:
            self._events.note(row.sandbox_id, "oom")

    def _look_at(self, row: SandboxRow, since: float | None = None) -> None:
        assert row.container_id is not None
        try:
            container = self._engine.inspect(row.container_id)
        except ContainerGone:
            self._end(row, GONE)
            return
        if container.state not in _ALIVE:
            self._end(row, self._why(row, container, engine_was_away=False))
        else:
            self._pausing.follow_engine(row, container.state, since=since)

    def _why(self, row: SandboxRow, container: ContainerInfo, *, engine_was_away: bool) -> Ending:
        return ending_of(
            container,
            oom_seen_s_ago=self._oom_seen_s_ago(row),
            engine_was_away=engine_was_away,
        )

    def _oom_seen_s_ago(self, row: SandboxRow) -> float | None:
        oom_at = self._oom_at.get(row.container_id or "")
        if oom_at is not None:
            return clock.boot_s() - oom_at
        # Another process may have heard of it, before this one kept house.
        noted_at = self._events.last_at(row.sandbox_id, "oom")
        return None if noted_at is None else abs(clock.wall_s() - noted_at)

    def _end(self, row: SandboxRow, end: Ending) -> None:
        now = self._store.get(row.sandbox_id)
        if now is not None and (now.state == "held" or now.restored_count != row.restored_count):
            return  # it was stopped to be restored, since the row was read
        self._oom_at.pop(row.container_id or "", None)
        self._removal.note_gone(row, end.reason, end.detail, end.exit_code)

    # --- all containers ------------------------------------------------------------------------

    def compare(self, *, engine_was_away: bool = False) -> None:
        """One full comparison.

        The store is read first: whatever is ready in it by then must be in the engine's list.
        """
        started = time.monotonic()
        rows = {row.sandbox_id: row for row in self._store.live()}
        standing = self._pool.standing()
        containers = self._engine.containers({INSTANCE: self._instance_id})
        seen = set()
        for container in containers:
            origin = origin_of(container.labels)
            if origin is None:
                continue
            seen.add(origin.sandbox_id)
            try:
                self._compare_one(origin, container, rows.get(origin.sandbox_id), engine_was_away)
            except EngineFault as error:
                log.warning("cannot look at sandbox %s yet: %s", origin.sandbox_id, error)
        for sandbox_id, row in rows.items():
            if sandbox_id in seen:
                continue
            if row.state == "removing":
                self._removal.finish(row)  # whoever was at it was killed before it could say so
            elif row.state in USABLE:
                self._end(row, GONE)
        running = {one.container_id for one in containers if one.state == "running"}
        self._pool.drop_all_but(running, standing)
        for container_id in self._oom_at.keys() - {one.container_id for one in containers}:
            del self._oom_at[container_id]
        log.debug("compared %d containers in %.3f s", len(seen), time.monotonic() - started)

    def _compare_one(
        self,
        origin: Origin,
        container: ContainerInfo,
        row: SandboxRow | None,
        engine_was_away: bool,
    ) -> None:
        if row is None:
            self._see_to_unknown(origin, container)
        elif row.state == "removing":
            self._removal.carry_on(row)
        elif row.state in ("starting", "held"):
            return  # whoever is at work on it, or takes over from there, sees to it
        elif container.state not in _ALIVE:
            found = self._engine.inspect(container.container_id)
            self._end(row, self._why(row, found, engine_was_away=engine_was_away))
        else:
            self._pausing.follow_engine(row, container.state)
            if is_of_pool(container.name) or tells(container.name, row.sandbox_id):
                self._engine.rename(container.container_id, new_name())

    def _see_to_unknown(self, origin: Origin, container: ContainerInfo) -> None:
        """A container of this gateway that the store did not know as live a moment ago."""
        row = self._store.get(origin.sandbox_id)
        if row is not None and row.state != "ended":
            # Pooled, or created in between.
            if row.state == "pooled" and tells(container.name, row.sandbox_id):
                self._engine.rename(container.container_id, new_pool_name())
            return
        if row is not None or container.state not in _ALIVE or is_of_pool(container.name):
            self._engine.remove(container.container_id)
            return
        if self._store.adopt(adopted(origin, container, self._resolver.default())):
            log.info("adopted sandbox %s", origin.sandbox_id)
            self._watcher.watch(origin.sandbox_id)

    def forget_after(self, days: float) -> None:
        """Drop end records and events that are older."""
        before = clock.wall_s() - days * 86400
        self._removal.forget(before=before)
        self._events.forget(before=before)


def _is_late(row: SandboxRow, event: ContainerEvent) -> bool:
    """Whether the engine has done now what it was asked before, and did not answer in time."""
    return event.action == "destroy" and row.state == "removing" and row.worker_id is None
