"""Who may create a sandbox now: one transaction decides, over all workers.

It finds the first sandbox of an idempotency key, holds the owner's and the host's limits, keeps
the queue's order (`gateway.store.turns`), and takes a pooled sandbox or notes a new one. Whoever
has to wait holds a ticket. Tickets are ordered by their `turn`, which is a virtual time (start-time
fair queueing, Goyal and others 1996): an owner's tickets follow each other at a distance of one,
whatever their number, so that who asks for a hundred sandboxes delays nobody who asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from gateway.errors import TooManyWaiting
from gateway.store.allowance import labels_fit
from gateway.store.database import Database
from gateway.store.names import holder_of
from gateway.store.room import Limits, exceeds, has_room, held, owner_is_full, waiting, waits
from gateway.store.rows import SandboxRow
from gateway.store.tables import idempotency, sandboxes, tickets
from gateway.store.taking import note_new, take_pooled
from gateway.store.turns import whose_turn
from gateway.store.updates import labels_size


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
    key; `refused` is `full`, `owner`, `labels`, `name` or `key`.
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
        leave_pooled: int = 0,
    ) -> Admission:
        """Admit the sandbox `wanted` (in state `starting`, with the `pool_key` of those that will
        do in its place, or None), or say why not. One of those is only taken while more than
        `leave_pooled` of them stand ready.

        Without a `ticket` it is refused while somebody waits who could be served.
        Raises StoreUnavailable.
        """

        def work(connection: Connection) -> Admission:
            if key is not None:
                first = _first_of(connection, wanted.owner, key)
                if first is not None:
                    return first
            if wanted.name and holder_of(connection, wanted.owner, wanted.name):
                return Admission(refused="name")
            if owner_is_full(connection, wanted, limits):
                return Admission(refused="owner")
            if not labels_fit(connection, wanted.owner, "", labels_size(wanted.labels)):
                return Admission(refused="labels")
            if not has_room(connection, wanted, limits, ticket, now):
                return Admission(refused="full")
            taken = take_pooled(connection, wanted, needs_update=needs_update, leave=leave_pooled)
            row = taken or note_new(connection, wanted, self._uids)
            if key is not None:
                connection.execute(
                    insert(idempotency).values(
                        owner=wanted.owner,
                        key=key.key,
                        fingerprint=key.fingerprint,
                        sandbox_id=row.sandbox_id,
                    )
                )
            if ticket is not None:
                connection.execute(delete(tickets).where(tickets.c.number == ticket))
                connection.execute(_AGE, {"now": now})
            return Admission(row=row, is_warm=taken is not None)

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
            everybody = select(func.count(), func.min(tickets.c.turn))
            count, first_turn = connection.execute(everybody).one()
            if count >= longest:
                return None
            own = select(func.count(), func.max(tickets.c.turn)).where(tickets.c.owner == owner)
            own_count, own_turn = connection.execute(own).one()
            if exceeds(own_count + 1, longest_of_owner):
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
        """Whose turn it is; None also when nobody who waits can be served.

        Raises StoreUnavailable.
        """
        room = (limits or Limits()).room
        return self._database.read(
            lambda c: whose_turn(waiting(c, now), held(c), room, now) if waits(c, now) else None
        )

    def leave_queue(self, ticket: int, *, now: float = 0.0) -> None:
        """Give a ticket back. May be repeated. Raises StoreUnavailable."""

        def work(connection: Connection) -> None:
            connection.execute(delete(tickets).where(tickets.c.number == ticket))
            connection.execute(_AGE, {"now": now})

        self._database.write(work)

    def has_work(self, *, now: float) -> bool:
        """Whether sandboxes are being created or waited for: the pool is filled afterwards.

        Raises StoreUnavailable.
        """
        starting = exists().where(sandboxes.c.state == "starting")
        return self._database.read(
            lambda c: bool(c.execute(select(starting)).scalar_one()) or waits(c, now)
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


# Built once: to build them takes SQLAlchemy five times as long as SQLite needs to carry them out.

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
