"""Leases: who uses a sandbox. While there is one, it is not idle.

`client`: somebody is connected, or asks for something that takes a while. `command`: what a client
left running. `request`: requests that are short, in one worker; it stays a moment after the last of
them, so it keeps a sandbox from being cleaned up and does not show in its status.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    exists,
    insert,
    or_,
    select,
    union,
    update,
)

from gateway import clock
from gateway.store.database import Database
from gateway.store.rows import USABLE
from gateway.store.tables import leases, sandboxes, snapshots, templates, tickets

_BUSY_STATES = ("pooling", "starting", "pausing", "held", "removing")


@dataclass(frozen=True)
class Leased:
    """As much of a sandbox as whoever uses it needs: the whole row takes four times as long."""

    state: str
    container_id: str | None
    owner: str
    idle_timeout_s: float


@dataclass(frozen=True)
class Unused:
    """A lease that is given back, with the boot time when the sandbox was last used by it."""

    lease_id: str
    sandbox_id: str
    last_used: float


@dataclass(frozen=True)
class Stay:
    """A lease for requests one of which takes long, with the boot time when that one came."""

    lease_id: str
    sandbox_id: str
    came_at: float


class LeaseStore:
    """Gives and takes leases. `now` is boot time in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire_lease(
        self, lease_id: str, sandbox_id: str, *, worker_id: str, purpose: str
    ) -> Leased | None:
        """Note that somebody uses the sandbox. What it is then; None unless it can be used, paused
        or not.

        Raises StoreUnavailable.
        """
        values = {
            "lease_id": lease_id,
            "sandbox_id": sandbox_id,
            "worker_id": worker_id,
            "purpose": purpose,
            "taken_at": clock.boot_s(),
        }

        def work(connection: Connection) -> Leased | None:
            if connection.execute(_ACQUIRE, values).rowcount == 0:
                return None
            return Leased(*connection.execute(_LEASED, {"of_sandbox": sandbox_id}).one())

        return self._database.write(work)

    def release_lease(self, lease_id: str, sandbox_id: str, *, now: float) -> None:
        """Drop a lease; with the last one the sandbox is idle from `now` on.

        Raises StoreUnavailable.
        """

        def work(connection: Connection) -> None:
            dropped = connection.execute(_RELEASE, {"of_lease": lease_id})
            if dropped.rowcount:
                connection.execute(_SET_ONE_IDLE, {"of_sandbox": sandbox_id, "now": now})

        self._database.write(work)

    def leased(self, lease_id: str) -> Leased | None:
        """What the sandbox of a lease is now; None where there is no such lease any more, or the
        sandbox cannot be used. Raises StoreUnavailable."""

        def work(connection: Connection) -> Leased | None:
            found = connection.execute(_LEASED_BY, {"of_lease": lease_id}).one_or_none()
            return None if found is None or found.state not in USABLE else Leased(*found)

        return self._database.read(work)

    def requests_among(self, sandbox_ids: Collection[str]) -> list[tuple[str, str, str]]:
        """The leases for requests on sandboxes: (sandbox, lease, worker). Raises
        StoreUnavailable."""
        asked = {"ids": list(sandbox_ids)}
        return self._database.read(lambda c: [(a, b, w) for a, b, w in c.execute(_REQUESTS, asked)])

    def give_back(self, unused: Iterable[Unused]) -> None:
        """Drop leases; what nobody else uses is idle since it was last used. Raises
        StoreUnavailable."""
        in_order = sorted(unused, key=lambda one: one.sandbox_id)

        def work(connection: Connection) -> None:
            for one in in_order:
                if connection.execute(_RELEASE, {"of_lease": one.lease_id}).rowcount:
                    given = {"of_sandbox": one.sandbox_id, "now": one.last_used}
                    connection.execute(_SET_ONE_IDLE_SINCE, given)

        self._database.write(work)

    def count_as_clients(self, stays: Iterable[Stay]) -> dict[str, float]:
        """From now on these leases are a client's. Those of the sandboxes that are paused, and
        since when. Raises StoreUnavailable."""
        in_order = sorted(stays, key=lambda one: one.sandbox_id)

        def work(connection: Connection) -> dict[str, float]:
            paused = {}
            for one in in_order:
                given = {"of_lease": one.lease_id, "came_at": one.came_at}
                connection.execute(_COUNT_AS_CLIENT, given)
                since = connection.execute(_PAUSED_SINCE, {"of_sandbox": one.sandbox_id}).scalar()
                if since is not None:
                    paused[one.sandbox_id] = since
            return paused

        return self._database.write(work)

    def leave_running(self, lease_id: str, sandbox_id: str, *, now: float) -> None:
        """From now on the lease is for commands, no more for a client. Raises StoreUnavailable."""

        def work(connection: Connection) -> None:
            connection.execute(_LEAVE_RUNNING, {"of_lease": lease_id})
            _set_idle(connection, [sandbox_id], now)

        self._database.write(work)

    def workers_with_traces(self) -> set[str]:
        """Workers that hold leases, were in the middle of something, or wait for room.

        Raises StoreUnavailable.
        """
        query = union(
            select(leases.c.worker_id),
            select(sandboxes.c.worker_id).where(sandboxes.c.state.in_(_BUSY_STATES)),
            select(snapshots.c.worker_id),
            select(templates.c.worker_id),
            select(tickets.c.worker_id),
        )
        return self._database.read(lambda c: {found[0] for found in c.execute(query) if found[0]})

    def sandboxes_of(self, worker_ids: Collection[str]) -> list[str]:
        """The sandboxes that workers hold leases on. Raises StoreUnavailable."""
        query = select(leases.c.sandbox_id).where(leases.c.worker_id.in_(worker_ids)).distinct()
        return self._database.read(lambda c: [found[0] for found in c.execute(query)])

    def drop_leases_of(self, worker_ids: Collection[str], *, now: float) -> list[str]:
        """Drop leases and tickets of dead workers; the sandboxes that had leases of theirs.

        Raises StoreUnavailable.
        """

        def work(connection: Connection) -> list[str]:
            theirs = leases.c.worker_id.in_(worker_ids)
            query = select(leases.c.sandbox_id).where(theirs).distinct()
            affected = [found[0] for found in connection.execute(query)]
            connection.execute(delete(leases).where(theirs))
            connection.execute(delete(tickets).where(tickets.c.worker_id.in_(worker_ids)))
            _set_idle(connection, affected, now)
            return affected

        return self._database.write(work)


def _set_idle(connection: Connection, sandbox_ids: Collection[str], now: float) -> None:
    """Those of the sandboxes that nobody leases any more are idle from `now` on.

    In a paused one nothing runs, whatever leases are kept for its commands.
    """
    connection.execute(_SET_IDLE, {"ids": list(sandbox_ids), "now": now})


# Built once: every client that comes takes one and gives it back.
_RELEASE = delete(leases).where(leases.c.lease_id == bindparam("of_lease"))
_LEAVE_RUNNING = (
    update(leases).where(leases.c.lease_id == bindparam("of_lease")).values(purpose="command")
)
# A lease for requests may have been used last before this one: then it must not tell the time.
_IN_USE = exists().where(
    leases.c.sandbox_id == sandboxes.c.sandbox_id, leases.c.purpose != "request"
)
_LET_IDLE = (
    update(sandboxes)
    .where(or_(~_IN_USE, sandboxes.c.state == "paused"))
    .values(idle_since=bindparam("now"))
)
_SET_IDLE = _LET_IDLE.where(sandboxes.c.sandbox_id.in_(bindparam("ids", expanding=True)))
_SET_ONE_IDLE = _LET_IDLE.where(sandboxes.c.sandbox_id == bindparam("of_sandbox"))
# It may have been used since by others, who have given theirs back already.
_SET_ONE_IDLE_SINCE = _SET_ONE_IDLE.values(
    idle_since=case(
        (sandboxes.c.idle_since < bindparam("now"), bindparam("now")), else_=sandboxes.c.idle_since
    )
)
_COUNT_AS_CLIENT = (
    update(leases)
    .where(leases.c.lease_id == bindparam("of_lease"))
    .values(purpose="client", taken_at=bindparam("came_at"))
)
_REQUESTS = select(leases.c.sandbox_id, leases.c.lease_id, leases.c.worker_id).where(
    leases.c.sandbox_id.in_(bindparam("ids", expanding=True)), leases.c.purpose == "request"
)
_PAUSED_SINCE = select(sandboxes.c.idle_since).where(
    sandboxes.c.sandbox_id == bindparam("of_sandbox"), sandboxes.c.state == "paused"
)
_LEASED_COLUMNS = select(
    sandboxes.c.state, sandboxes.c.container_id, sandboxes.c.owner, sandboxes.c.idle_timeout_s
)
_LEASED = _LEASED_COLUMNS.where(sandboxes.c.sandbox_id == bindparam("of_sandbox"))
_LEASED_BY = _LEASED_COLUMNS.join(leases, leases.c.sandbox_id == sandboxes.c.sandbox_id).where(
    leases.c.lease_id == bindparam("of_lease")
)
_LEASE_COLUMNS = ("lease_id", "sandbox_id", "worker_id", "purpose", "taken_at")
_ACQUIRE = insert(leases).from_select(
    _LEASE_COLUMNS,
    select(*(bindparam(name, type_=leases.c[name].type) for name in _LEASE_COLUMNS)).where(
        exists().where(
            sandboxes.c.sandbox_id == bindparam("sandbox_id"), sandboxes.c.state.in_(USABLE)
        )
    ),
)
