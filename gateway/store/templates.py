"""Templates: images that operators have built, and how far their making has come.

`making` → `there` → `removing`, then the row goes. What the engine makes for one carries its build
id, from after the row is there until before it goes: so what a killed gateway leaves is found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from gateway.errors import TemplateNameTaken, TooManyTemplates
from gateway.store.database import Database
from gateway.store.tables import templates

AT_ONCE = 2
"""Templates that are built at a time, over all workers: a build takes what the host has."""


@dataclass(frozen=True)
class TemplateRow:
    """A row of `gateway.store.tables.templates`, which explains the columns."""

    name: str
    state: str
    worker_id: str | None
    build_id: str
    image: str
    created_at: float
    image_id: str = ""
    size_bytes: int = 0
    made_by: str = ""


class TemplateStore:
    """Notes templates. Every method may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> TemplateRow | None:
        """One that is there."""
        found = self._rows(templates.c.name == name, templates.c.state == "there")
        return found[0] if found else None

    def image_of(self, word: str) -> str | None:
        """What the engine calls the template of this name, or this image itself if it is one."""
        meant = or_(templates.c.name == word, templates.c.image == word)
        found = self._rows(meant, templates.c.state == "there")
        return found[0].image if found else None

    def those(self) -> list[TemplateRow]:
        """All that are there, by name."""
        return self._rows(templates.c.state == "there")

    def all(self) -> list[TemplateRow]:
        """In every state, by name."""
        return self._rows()

    def _rows(self, *conditions: Any) -> list[TemplateRow]:
        query = select(*_COLUMNS).where(*conditions).order_by(templates.c.name)
        return self._database.read(
            lambda c: [TemplateRow(**one._mapping) for one in c.execute(query)]
        )

    def begin(self, row: TemplateRow, *, most: int) -> None:
        """Note one that is about to be made. Raises TemplateNameTaken and TooManyTemplates."""

        def work(connection: Connection) -> None:
            present = connection.execute(select(templates.c.name, templates.c.state)).all()
            if any(name == row.name for name, _state in present):
                raise TemplateNameTaken()
            if len(present) >= most:
                raise TooManyTemplates()
            if sum(state == "making" for _name, state in present) >= AT_ONCE:
                raise TooManyTemplates(f"{AT_ONCE} are being built at the moment")
            values = {one.name: getattr(row, one.name) for one in fields(TemplateRow)}
            connection.execute(insert(templates).values(**values))

        self._database.write(work)

    def mark_there(
        self, build_id: str, *, image_id: str, size_bytes: int, created_at: float
    ) -> bool:
        """`making` → `there`. False when it was given up meanwhile. Raises
        StoreUnavailable."""
        return self._change(
            build_id,
            "making",
            state="there",
            worker_id=None,
            image_id=image_id,
            size_bytes=size_bytes,
            created_at=created_at,
        )

    def claim_removal(self, build_id: str) -> bool:
        """To `removing`: nobody finds it any more. False when another was first. Raises
        StoreUnavailable."""
        return self._change(build_id, "making", "there", state="removing", worker_id=None)

    def forget(self, build_id: str) -> None:
        """What the engine had of it is gone. Raises StoreUnavailable."""
        gone = delete(templates).where(templates.c.build_id == build_id)
        self._database.write(lambda c: c.execute(gone))

    def leave_those_of(self, worker_ids: Collection[str]) -> None:
        """What workers that were killed were making is to be removed. Raises
        StoreUnavailable."""
        statement = (
            update(templates)
            .where(templates.c.worker_id.in_(worker_ids))
            .values(state="removing", worker_id=None)
        )
        self._database.write(lambda c: c.execute(statement))

    def _change(self, build_id: str, *states: str, **values: Any) -> bool:
        statement = (
            update(templates)
            .where(templates.c.build_id == build_id, templates.c.state.in_(states))
            .values(**values)
        )
        return self._database.write(lambda c: c.execute(statement).rowcount > 0)


_COLUMNS = [templates.c[one.name].label(one.name) for one in fields(TemplateRow)]
