"""Whose sandboxes are, and which generation of their access tokens is valid."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Select,
    String,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from gateway.store.database import Database
from gateway.store.tables import metadata, sandboxes

tenancy = Table(
    "tenancy",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("owner", String, nullable=False, server_default=""),  # name of a key; "": nobody
    Column("token_generation", String),
)

_AT_A_TIME = 500
"""SQLite takes 32,766 parameters at most, old ones 999."""

_OWNER = func.coalesce(tenancy.c.owner, "")
_ALL = sandboxes.outerjoin(tenancy, tenancy.c.sandbox_id == sandboxes.c.sandbox_id)


# Made once: building a statement costs more than running it.
_OWNER_OF = select(_OWNER).select_from(_ALL).where(sandboxes.c.sandbox_id == bindparam("one"))
_GENERATION_OF = select(tenancy.c.token_generation).where(tenancy.c.sandbox_id == bindparam("one"))


class TenancyTable:
    """Implements `Owners` and `TokenGenerations` of `gateway.identity.access`. Rows go with their
    sandbox, when its end is forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_owner(self, sandbox_id: str, owner: str) -> None:
        """Say whose a sandbox is. Once: what is there already stays."""
        note = insert(tenancy).values(sandbox_id=sandbox_id, owner=owner).on_conflict_do_nothing()
        self._database.write(lambda c: c.execute(note))

    def owner_of(self, sandbox_id: str) -> str | None:
        return self._one(_OWNER_OF, sandbox_id)

    def owners_of(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        query = select(sandboxes.c.sandbox_id, _OWNER).select_from(_ALL)
        return self._of(query, sandboxes.c.sandbox_id, sandbox_ids)

    def generation_of(self, sandbox_id: str) -> str | None:
        return self._one(_GENERATION_OF, sandbox_id)

    def _one(self, query: Select[Any], sandbox_id: str) -> str | None:
        return self._database.read(
            lambda c: c.execute(query, {"one": sandbox_id}).scalar_one_or_none()
        )

    def generations_of(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        query = select(tenancy.c.sandbox_id, tenancy.c.token_generation).where(
            tenancy.c.token_generation.is_not(None)
        )
        return self._of(query, tenancy.c.sandbox_id, sandbox_ids)

    def _of(
        self, query: Select[str, str], key: Column[str], sandbox_ids: Collection[str]
    ) -> dict[str, str]:
        wanted, found = list(sandbox_ids), dict[str, str]()
        for at in range(0, len(wanted), _AT_A_TIME):
            some = query.where(key.in_(wanted[at : at + _AT_A_TIME]))
            found.update(self._pairs(some))
        return found

    def _pairs(self, query: Select[str, str]) -> list[tuple[str, str]]:
        return self._database.read(lambda c: [(row[0], row[1]) for row in c.execute(query)])

    def begin_generation(self, sandbox_id: str, generation: str) -> str | None:
        return self._generation(sandbox_id, generation, keep=True)

    def renew_generation(self, sandbox_id: str, generation: str) -> bool:
        return self._generation(sandbox_id, generation, keep=False) is not None

    def _generation(self, sandbox_id: str, generation: str, *, keep: bool) -> str | None:
        alive = select(sandboxes.c.sandbox_id).where(
            sandboxes.c.sandbox_id == sandbox_id, sandboxes.c.state != "ended"
        )
        there = tenancy.c.token_generation
        note = insert(tenancy).values(sandbox_id=sandbox_id, token_generation=generation)
        note = note.on_conflict_do_update(
            index_elements=[tenancy.c.sandbox_id],
            set_={there: func.coalesce(there, generation) if keep else generation},
        )

        def work(connection: Connection) -> str | None:
            if connection.execute(alive).first() is None:
                return None
            connection.execute(note)
            noted = select(there).where(tenancy.c.sandbox_id == sandbox_id)
            return str(connection.execute(noted).scalar_one())

        return self._database.write(work)
