"""Which agent a `once` command was first given to, and what was done before it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select

from gateway.store.allowance import next_of, trim
from gateway.store.command_changes import open_row
from gateway.store.database import Database
from gateway.store.tables import once, sandboxes

LONGEST_NAME = 80
"""Characters. Of a longer `request_id`, or one with a NUL, which PostgreSQL does not keep, there is
its digest."""


@dataclass(frozen=True)
class Claim:
    """Which agent has the command, and the checkpoint that was taken before it. `is_first`: nobody
    had claimed it before."""

    daemon: str
    checkpoint: str | None
    is_first: bool


class OnceTable:
    """Implements `gateway.commands.run_once.OnceStore`. Rows go when their sandbox ends, and the
    oldest of an owner's when there are too many: the agent itself still knows its last 10,000."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def noted(self, sandbox_id: str, request_id: str) -> Claim | None:
        """The claim that there is. Raises StoreUnavailable."""
        return self._database.read(lambda c: _first(c, sandbox_id, request_id))

    def claim_once(
        self,
        sandbox_id: str,
        request_id: str,
        daemon: str,
        *,
        checkpoint: str | None = None,
        watched: tuple[str, str] | None = None,
    ) -> Claim:
        """Note `daemon` unless another is noted already; what is. `watched` are the command's key
        and the worker that will tell what it changes, noted together with the claim. Raises
        StoreUnavailable, also for a sandbox that is not known."""
        owner_of = select(sandboxes.c.owner).where(sandboxes.c.sandbox_id == sandbox_id)

        def work(connection: Connection) -> Claim:
            first = _first(connection, sandbox_id, request_id)
            if first is not None:
                return first
            owner = connection.execute(owner_of).scalar_one()
            connection.execute(
                insert(once).values(
                    sandbox_id=sandbox_id,
                    request_id=_name_of(request_id),
                    daemon=daemon,
                    checkpoint=checkpoint,
                    owner=owner,
                    noted_order=next_of(once, owner),
                )
            )
            trim(connection, owner, "once")
            if watched is not None:
                open_row(connection, sandbox_id, *watched)
            return Claim(daemon, checkpoint, is_first=True)

        return self._database.write(work)


def _first(connection: Connection, sandbox_id: str, request_id: str) -> Claim | None:
    name = _name_of(request_id)
    # Earlier versions noted long ones as they are.
    names = {name} if "\0" in request_id else {name, request_id}
    query: Any = select(once.c.daemon, once.c.checkpoint).where(
        once.c.sandbox_id == sandbox_id, once.c.request_id.in_(names)
    )
    found = connection.execute(query).first()
    return None if found is None else Claim(str(found[0]), found[1], is_first=False)


def _name_of(request_id: str) -> str:
    if len(request_id) <= LONGEST_NAME and "\0" not in request_id:
        return request_id
    return f"sha256:{sha256(request_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
