"""Whose sandboxes are, and which generation of their access tokens is valid."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, bindparam, func, select, update

from gateway.store.database import Database
from gateway.store.pool import POOLED
from gateway.store.tables import sandboxes

_AT_A_TIME = 500
"""SQLite takes 32,766 parameters at most, old ones 999."""

_THIS = sandboxes.c.sandbox_id == bindparam("one")

# Made once: building a statement costs more than running it.
_OWNER_OF = select(sandboxes.c.owner).where(_THIS, sandboxes.c.state.not_in(POOLED))
_GENERATION_OF = select(sandboxes.c.token_generation).where(_THIS)

_LIVE_GENERATIONS = select(sandboxes.c.sandbox_id, sandboxes.c.token_generation).where(
    sandboxes.c.token_generation.is_not(None), sandboxes.c.state.not_in((*POOLED, "ended"))
)


class OwnershipTable:
    """Implements `Owners` and `TokenGenerations` of `gateway.identity.access`. The owner is noted
    when a sandbox is admitted (`gateway.store.admission`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owner_of(self, sandbox_id: str) -> str | None:
        """Whose it is, ended or not; None for one that is not known. Raises StoreUnavailable."""
        return self._database.read(
            lambda c: c.execute(_OWNER_OF, {"one": sandbox_id}).scalar_one_or_none()
        )

    def generation_of(self, sandbox_id: str) -> str | None:
        """The one that is valid; None before the first token. Raises StoreUnavailable."""
        return self._database.read(
            lambda c: c.execute(_GENERATION_OF, {"one": sandbox_id}).scalar_one_or_none()
        )

    def generations_of(self, sandbox_ids: Collection[str]) -> dict[str, str]:
        """The valid ones, of those that have one. Raises StoreUnavailable."""
        if not sandbox_ids:
            return {}
        query = select(sandboxes.c.sandbox_id, sandboxes.c.token_generation).where(
            sandboxes.c.token_generation.is_not(None)
        )
        wanted, found = list(sandbox_ids), dict[str, str]()
        for at in range(0, len(wanted), _AT_A_TIME):
            some = query.where(sandboxes.c.sandbox_id.in_(wanted[at : at + _AT_A_TIME]))
            found.update(self._pairs(some))
        return found

    def live_generations(self) -> dict[str, str]:
        """The valid ones of all sandboxes that have one and have not ended. Raises
        StoreUnavailable."""
        return dict(self._pairs(_LIVE_GENERATIONS))

    def _pairs(self, query: Select[str, str]) -> list[tuple[str, str]]:
        return self._database.read(lambda c: [(row[0], row[1]) for row in c.execute(query)])

    def begin_generation(self, sandbox_id: str, generation: str) -> str | None:
        """Make `generation` the valid one unless there is one; the valid one. None for a sandbox
        that has ended. Raises StoreUnavailable."""
        there = sandboxes.c.token_generation
        return self._note(sandbox_id, func.coalesce(there, generation))

    def renew_generation(self, sandbox_id: str, generation: str) -> bool:
        """Make `generation` the valid one. False for a sandbox that has ended. Raises
        StoreUnavailable."""
        return self._note(sandbox_id, generation) is not None

    def _note(self, sandbox_id: str, generation: object) -> str | None:
        note = (
            update(sandboxes)
            .where(
                sandboxes.c.sandbox_id == sandbox_id,
                sandboxes.c.state.not_in((*POOLED, "ended")),
            )
            .values(token_generation=generation)
            .returning(sandboxes.c.token_generation)
        )
        return self._database.write(lambda c: c.execute(note).scalar_one_or_none())
