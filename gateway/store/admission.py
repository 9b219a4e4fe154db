"""Who may create a sandbox now: one transaction decides, over all workers.

It finds the first sandbox of an idempotency key, holds the owner's and the host's limits, keeps
the queue's order (`gateway.store.turns`), and takes a pooled sandbox or notes a new one. Whoever
has to wait holds a ticket. Tickets are ordered by their `turn`, which is a virtual time (start-time
fair queueing, Goyal and others 1996): an owner's tickets follow each other at a distance of one,
whatever their number, so that who asks for a hundred sandboxes delays nobody who asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from gateway.errors import TooManyWaiting
from gateway.store import rows as reading
from gateway.store.allowance import labels_fit
from gateway.store.database import Database
from gateway.store.events import record
from gateway.store.rows import LIVE, SandboxRow
from gateway.store.tables import idempotency, sandboxes, tickets
from gateway.store.turns import Holding, Room, Ticket, whose_turn
from gateway.store.uids import free_uid
from gateway.store.updates import labels_size


@dataclass(frozen=True)
class Limits:
    """What all sandboxes together, and those of one owner, may come to. None: no limit."""

    sandboxes: int | None = None
    memory_mb: int | None = None
    of_owner: int | None = None
    cpus_of_owner: float | None = None
    memory_mb_of_owner: int | None = None
    share_sandboxes: int | None = None
    share_memory_mb: int | None = None
    """What one owner may have while there are others: beyond it a create waits, as it does when
    the host is full."""

    @property
    def room(self) -> Room:
        """What the host bears."""
        return Room(self.sandboxes, self.memory_mb)


@dataclass(frozen=True)
class Key:
    """An idempotency key and what it was sent with."""

    key: str
    fingerprint: str


@dataclass(frozen=True)
class Admission:
    """What came of a request for room. Exactly one of the first three is set.

    `row` is the sandbox that was noted (`starting`) or taken (`ready`, or `starting` with its
    container when its limits have to be changed first); `existing` the id of the first one of the
    key; `refused` is `full`, `owner`, `labels` or `key`.
    """

    row: SandboxRow | None = None
    existing: str | None = None
    refused: str | None = None
    is_warm: bool = False


class AdmissionStore:
    """Admits sandboxes and keeps the queue. `now` is boot time in seconds."""

    def __init__(self, database: Database, uids: range = range(0)) -> None:
        """`uids` are the numbers that sandboxes' own users may have."""
        self._database = database
        self._uids = uids

    def admit(
        self,
        wanted: SandboxRow,
        limits: Limits,
        *,
        now: float,
        key: Key | None = None,
        ticket: int | None = None,
        needs_update: bool = False,
    ) -> Admission:
        """Admit the sandbox `wanted` (in state `starting`, with the `pool_key` of those that will
        do in its place, or None), or say why not.

        Without a `ticket` it is refused while somebody waits who could be served.
        """

        def work(connection: Connection) -> Admission:
            if key is not None:
                first = _first_of(connection, wanted.owner, key)
                if first is not None:
                    return first
            if _owner_is_full(connection, wanted, limits):
                return Admission(refused="owner")
            if not labels_fit(connection, wanted.owner, "", labels_size(wanted.labels)):
                return Admission(refused="labels")
            if not _has_room(connection, wanted, limits, ticket, now):
                return Admission(refused="full")
            admitted = _take(connection, wanted, needs_update) or _note(
                connection, wanted, self._uids
            )
            if key is not None:
                connection.execute(
                    insert(idempotency).values(
                        owner=wanted.owner,
                        key=key.key,
                        fingerprint=key.fingerprint,
                        sandbox_id=admitted.row.sandbox_id if admitted.row else "",
                    )
                )
            if ticket is not None:
                connection.execute(delete(tickets).where(tickets.c.number == ticket))
                connection.execute(_AGE, {"now": now})
            return admitted

        return self._database.write(work)

    def join_queue(
        self,
        owner: str,
        *,
        worker_id: str,
        now: float,
        valid_until: float,
        longest: int,
        longest_of_owner: int | None = None,
        memory_mb: int = 0,
        limits: Limits | None = None,
        wait_s: float = 0.0,
    ) -> int | None:
        """A ticket for a sandbox of `memory_mb`, which waits for `wait_s` seconds at most; None
        when so many wait already. Raises TooManyWaiting when so many of this owner do."""
        limits = limits or Limits()

        def work(connection: Connection) -> int | None:
            connection.execute(delete(tickets).where(tickets.c.valid_until < now))
            waiting = select(func.count(), func.min(tickets.c.turn))
            count, first_turn = connection.execute(waiting).one()
            if count >= longest:
                return None
            own = select(func.count(), func.max(tickets.c.turn)).where(tickets.c.owner == owner)
            own_count, own_turn = connection.execute(own).one()
            if _exceeds(own_count + 1, longest_of_owner):
                raise TooManyWaiting()
            turn = max((first_turn or 1) - 1, own_turn or 0) + 1
            added = connection.execute(
                insert(tickets).values(
                    owner=owner,
                    worker_id=worker_id,
                    turn=turn,
                    valid_until=valid_until,
                    memory_mb=memory_mb,
                    share_sandboxes=limits.share_sandboxes,
                    share_memory_mb=limits.share_memory_mb,
                    wait_s=wait_s,
                )
            )
            connection.execute(_AGE, {"now": now})
            assert added.inserted_primary_key is not None
            return int(added.inserted_primary_key[0])

        return self._database.write(work)

    def next_ticket(self, *, now: float, limits: Limits | None = None) -> int | None:
        """Whose turn it is; None also when nobody who waits can be served."""
        room = (limits or Limits()).room
        return self._database.read(
            lambda c: whose_turn(_waiting(c, now), _held(c), room, now) if _waits(c, now) else None
        )

    def leave_queue(self, ticket: int, *, now: float = 0.0) -> None:
        """Give a ticket back. May be repeated."""

        def work(connection: Connection) -> None:
            connection.execute(delete(tickets).where(tickets.c.number == ticket))
            connection.execute(_AGE, {"now": now})

        self._database.write(work)

    def has_work(self, *, now: float) -> bool:
        """Whether sandboxes are being created or waited for: the pool is filled afterwards."""
        starting = exists().where(sandboxes.c.state == "starting")
        return self._database.read(
            lambda c: bool(c.execute(select(starting)).scalar_one()) or _waits(c, now)
        )


def _first_of(connection: Connection, owner: str, key: Key) -> Admission | None:
    query = select(idempotency.c.fingerprint, idempotency.c.sandbox_id).where(
        idempotency.c.owner == owner, idempotency.c.key == key.key
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    fingerprint, sandbox_id = found
    if fingerprint != key.fingerprint:
        return Admission(refused="key")
    return Admission(existing=sandbox_id)


def _owner_is_full(connection: Connection, wanted: SandboxRow, limits: Limits) -> bool:
    if (limits.of_owner, limits.cpus_of_owner, limits.memory_mb_of_owner) == (None, None, None):
        return False
    theirs = (sandboxes.c.state.in_(LIVE), sandboxes.c.owner == wanted.owner)
    count, cpus, memory_mb = _sums(connection, *theirs)
    return (
        _exceeds(count + 1, limits.of_owner)
        or _exceeds(cpus + wanted.cpus, limits.cpus_of_owner)
        or _exceeds(memory_mb + wanted.memory_mb, limits.memory_mb_of_owner)
    )


def _has_room(
    connection: Connection, wanted: SandboxRow, limits: Limits, ticket: int | None, now: float
) -> bool:
    """Whether it is the ticket's turn, or, without one, nobody's who waits and there is room."""
    waiting = _waiting(connection, now)
    if ticket is None:
        waiting.append(
            Ticket(
                _NEWCOMER,
                wanted.owner,
                wanted.memory_mb,
                limits.share_sandboxes,
                limits.share_memory_mb,
            )
        )
    return whose_turn(waiting, _held(connection), limits.room, now) == (ticket or _NEWCOMER)


_NEWCOMER = 0
"""No ticket has this number."""


def _waiting(connection: Connection, now: float) -> list[Ticket]:
    """The tickets in the order of their turns."""
    return [Ticket(*found) for found in connection.execute(_WAITING, {"now": now})]


def _waits(connection: Connection, now: float) -> bool:
    return connection.execute(_WAITING.limit(1), {"now": now}).first() is not None


def _held(connection: Connection) -> dict[str, Holding]:
    """What each owner has."""
    return {
        owner: Holding(int(count), int(memory_mb))
        for owner, count, memory_mb in connection.execute(_HELD)
    }


def _sums(connection: Connection, *conditions: Any) -> tuple[int, float, int]:
    query = select(
        func.count(),
        func.coalesce(func.sum(sandboxes.c.cpus), 0.0),
        func.coalesce(func.sum(sandboxes.c.memory_mb), 0),
    ).where(*conditions)
    count, cpus, memory_mb = connection.execute(query).one()
    return int(count), float(cpus), int(memory_mb)


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _take(connection: Connection, wanted: SandboxRow, needs_update: bool) -> Admission | None:
    """The pooled sandbox that waits longest, made over to whoever wants it."""
    if wanted.pool_key is None:
        return None
    values = _values(wanted)
    values["state"] = "starting" if needs_update else "ready"
    if not needs_update:
        values["worker_id"] = None
    given = {f"new_{name}": values[name] for name in _GIVEN_OVER}
    taken = connection.execute(_TAKE, {"key": wanted.pool_key, **given}).one_or_none()
    if taken is None:
        return None
    row = SandboxRow(**taken._mapping, lease_count=0)
    if not needs_update:
        record(connection, row.sandbox_id, "created")
    return Admission(row=row, is_warm=True)


def _note(connection: Connection, wanted: SandboxRow, uids: range) -> Admission:
    uid = free_uid(connection, uids)
    noted = replace(wanted, pool_key=None, uid=wanted.uid if uid is None else uid)
    connection.execute(insert(sandboxes).values(_values(noted)))
    return Admission(row=noted)


def _values(row: SandboxRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__dataclass_fields__ if name in sandboxes.c}
    values["labels"] = dict(row.labels or {})
    return values


# Built once: to build them takes SQLAlchemy five times as long as SQLite needs to carry them out.

_WAITING = (
    select(
        tickets.c.number,
        tickets.c.owner,
        tickets.c.memory_mb,
        tickets.c.share_sandboxes,
        tickets.c.share_memory_mb,
        tickets.c.ages_from,
        tickets.c.wait_s,
    )
    .where(tickets.c.valid_until >= bindparam("now"))
    .order_by(tickets.c.turn, tickets.c.number)
)

# Pooled ones do not count: they are taken, or make room (`gateway.sandboxes.create.warm_pool`).
_HELD = (
    select(sandboxes.c.owner, func.count(), func.coalesce(func.sum(sandboxes.c.memory_mb), 0))
    .where(sandboxes.c.state.in_(LIVE))
    .group_by(sandboxes.c.owner)
)

_EARLIER = tickets.alias("earlier")
_AGE = (
    update(tickets)
    .where(
        tickets.c.ages_from.is_(None),
        ~exists().where(
            _EARLIER.c.owner == tickets.c.owner,
            _EARLIER.c.turn < tickets.c.turn,
            _EARLIER.c.valid_until >= bindparam("now"),
        ),
    )
    .values(ages_from=bindparam("now"))
)
"""The first ticket of each owner ages, from the moment on that it is the first."""

_GIVEN_OVER = [
    column.name
    for column in reading.COLUMNS
    if column.name not in ("sandbox_id", "container_id", "ip_address", "pid", "uid")
]
"""What a taken sandbox has from the request."""

_TAKE = (
    update(sandboxes)
    .where(
        sandboxes.c.sandbox_id
        == select(sandboxes.c.sandbox_id)
        .where(sandboxes.c.state == "pooled", sandboxes.c.pool_key == bindparam("key"))
        .order_by(sandboxes.c.created_at)
        .limit(1)
        .scalar_subquery()
    )
    .values({name: bindparam(f"new_{name}", type_=sandboxes.c[name].type) for name in _GIVEN_OVER})
    .returning(*reading.COLUMNS)
)
