"""Counts what is kept of each owner, in bytes: by triggers of the database, whoever adds or removes
it (a deletion that a foreign key cascades to as well)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, inspect

Kind = Literal["events", "history", "ended", "once"]


@dataclass(frozen=True)
class Counted:
    """A kind: its table, how its rows are told apart and ordered by age, and what a row takes.

    `size` is SQL over a row called `{row}`; `octets(…)` stands for the bytes of a column. It
    counts what a client can make long, and for the rest (numbers, indexes, free space of pages) a
    constant.
    """

    table: str
    row_name: tuple[str, ...]
    age: str
    size: str
    only: str = "1 = 1"


COUNTED: dict[Kind, Counted] = {
    "events": Counted(
        "events",
        ("number",),
        "number",
        "octets({row}.facts) + length({row}.event)"
        " + 2 * (length({row}.owner) + length({row}.sandbox_id)) + 60",
    ),
    "history": Counted(
        "command_history",
        ("sandbox_id", "key"),
        "noted_order",
        "octets({row}.command) + 2 * octets({row}.key)"
        " + 2 * (length({row}.owner) + length({row}.sandbox_id)) + 60",
    ),
    "ended": Counted(
        "sandboxes",
        ("sandbox_id",),
        "ended_at_s",
        "600 + coalesce(octets({row}.end_detail), 0)",
        only="state = 'ended'",
    ),
    "once": Counted(
        "once_commands",
        ("sandbox_id", "request_id"),
        "noted_order",
        "2 * octets({row}.request_id) + length({row}.agent_id)"
        " + 2 * (length({row}.owner) + length({row}.sandbox_id)) + 60",
    ),
}

_IDEMPOTENCY = (
    "2 * length({row}.key) + length({row}.fingerprint)"
    " + 2 * length({row}.owner) + 2 * length({row}.sandbox_id) + 60"
)
"""An idempotency key goes with its sandbox's record, and counts with it."""


def _add(kind: Kind, size: str) -> str:
    return (
        f"INSERT INTO kept_bytes (owner, kind, bytes) VALUES (NEW.owner, '{kind}', {size})"  # noqa: S608
        " ON CONFLICT (owner, kind) DO UPDATE SET bytes = kept_bytes.bytes + excluded.bytes;"
    )


def _subtract(kind: Kind, size: str) -> str:
    return (
        f"UPDATE kept_bytes SET bytes = bytes - ({size})"  # noqa: S608
        f" WHERE owner = OLD.owner AND kind = '{kind}';"
    )


@dataclass(frozen=True)
class _Trigger:
    """One that does `body` after `event` on rows of `table` that meet `when`."""

    name: str
    event: str
    table: str
    body: str
    when: str = ""

    def create(self, dialect: str) -> list[str]:
        """Statements. Made anew, should it be there."""
        when = f" WHEN ({self.when})" if self.when else ""
        start = f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table}"
        if dialect == "sqlite":
            made = [f"{start}{when} BEGIN {self.body} END"]
        else:
            made = [
                f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN {self.body} RETURN NULL; END $$",
                f"{start} FOR EACH ROW{when} EXECUTE FUNCTION {self.name}()",
            ]
        return [self.drop(dialect), *(in_dialect(one, dialect) for one in made)]

    def drop(self, dialect: str) -> str:
        """The statement. Does nothing where there is none."""
        of_table = "" if dialect == "sqlite" else f" ON {self.table}"
        return f"DROP TRIGGER IF EXISTS {self.name}{of_table}"


def in_dialect(statement: str, dialect: str) -> str:
    """The statement with `octets(…)` replaced: each database has another function for it."""
    template = (
        r"length(CAST(\1 AS BLOB))" if dialect == "sqlite" else r"octet_length(CAST(\1 AS TEXT))"
    )
    return re.sub(r"octets\(([\w.]+)\)", template, statement)


def _row_triggers(kind: Kind, table: str, size: str) -> list[_Trigger]:
    added, gone = size.format(row="NEW"), size.format(row="OLD")
    return [
        _Trigger(f"{table}_added", "INSERT", table, _add(kind, added)),
        _Trigger(f"{table}_gone", "DELETE", table, _subtract(kind, gone)),
    ]


def _triggers() -> list[_Trigger]:
    made = _row_triggers("ended", "idempotency", _IDEMPOTENCY)
    for kind, of in COUNTED.items():
        if kind != "ended":
            made += _row_triggers(kind, of.table, of.size)
    history, ended = COUNTED["history"].size, COUNTED["ended"].size
    return [
        *made,
        _Trigger(
            "command_history_changed",
            "UPDATE OF command",
            "command_history",
            _subtract("history", history.format(row="OLD"))
            + _add("history", history.format(row="NEW")),
        ),
        _Trigger(
            "sandboxes_ended",
            "UPDATE OF state",
            "sandboxes",
            _add("ended", ended.format(row="NEW")),
            when="NEW.state = 'ended' AND OLD.state <> 'ended'",
        ),
        _Trigger(
            "sandboxes_gone",
            "DELETE",
            "sandboxes",
            _subtract("ended", ended.format(row="OLD")),
            when="OLD.state = 'ended'",
        ),
    ]


_BEFORE_0002 = ("once_added", "once_gone", "history_added", "history_gone", "history_changed")
"""Names of triggers that revisions before had."""


def install(connection: Connection) -> None:
    """Make the triggers that count, within a transaction. May be repeated.

    Raises SQLAlchemyError."""
    for trigger in _triggers():
        for statement in trigger.create(connection.dialect.name):
            connection.exec_driver_sql(statement)


def uninstall(connection: Connection) -> None:
    """Take the triggers away, those of earlier revisions too. Raises SQLAlchemyError."""
    if connection.dialect.name == "sqlite":
        names = [*_BEFORE_0002, *(trigger.name for trigger in _triggers())]
        statements = [f"DROP TRIGGER IF EXISTS {name}" for name in names]
    else:
        there = inspect(connection).get_table_names()
        statements = [
            trigger.drop("postgresql") for trigger in _triggers() if trigger.table in there
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)


def count_anew(connection: Connection) -> None:
    """Count everything that is there: for rows that are older than the triggers. Raises
    SQLAlchemyError."""
    connection.exec_driver_sql("DELETE FROM kept_bytes")
    counted: list[tuple[Kind, str, str, str]] = [
        (kind, of.table, of.size, of.only) for kind, of in COUNTED.items()
    ]
    counted.append(("ended", "idempotency", _IDEMPOTENCY, "1 = 1"))
    for kind, table, size, only in counted:
        statement = (
            "INSERT INTO kept_bytes (owner, kind, bytes)"  # noqa: S608
            f" SELECT owner, '{kind}', sum({size.format(row=table)}) FROM {table}"
            f" WHERE {only} GROUP BY owner"
            " ON CONFLICT (owner, kind) DO UPDATE SET bytes = kept_bytes.bytes + excluded.bytes"
        )
        connection.exec_driver_sql(in_dialect(statement, connection.dialect.name))
