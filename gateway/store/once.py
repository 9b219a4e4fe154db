"""Which agent a `once` command was first given to."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Connection, insert, select

from gateway.store.allowance import next_of, trim
from gateway.store.database import Database
from gateway.store.tables import once, sandboxes

LONGEST_NAME = 80
"""Characters. Of a longer `request_id`, or one with a NUL, which PostgreSQL does not keep, there is
its digest."""


class OnceTable:
    """Implements `gateway.commands.run_once.OnceStore`. Rows go when their sandbox ends, and the
    oldest of an owner's when there are too many: the agent itself still knows its last 10,000."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_once(self, sandbox_id: str, request_id: str, daemon: str) -> str:
        """Note `daemon` unless another is noted already; the one that is. Raises
        StoreUnavailable, also for a sandbox that is not known."""
        name = _name_of(request_id)
        # Earlier versions noted long ones as they are.
        names = {name} if "\0" in request_id else {name, request_id}
        noted = select(once.c.daemon).where(
            once.c.sandbox_id == sandbox_id, once.c.request_id.in_(names)
        )
        owner_of = select(sandboxes.c.owner).where(sandboxes.c.sandbox_id == sandbox_id)

        def work(connection: Connection) -> str:
            first = connection.execute(noted).scalars().first()
            if first is not None:
                return str(first)
            owner = connection.execute(owner_of).scalar_one()
            connection.execute(
                insert(once).values(
                    sandbox_id=sandbox_id,
                    request_id=name,
                    daemon=daemon,
                    owner=owner,
                    noted_order=next_of(once, owner),
                )
            )
            trim(connection, owner, "once")
            return daemon

        return self._database.write(work)


def _name_of(request_id: str) -> str:
    if len(request_id) <= LONGEST_NAME and "\0" not in request_id:
        return request_id
    return f"sha256:{sha256(request_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
