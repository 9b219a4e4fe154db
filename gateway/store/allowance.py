"""What the store keeps of one owner, in bytes: the oldest of that owner's goes first.

Triggers of SQLite count what is there, per owner and kind, whoever adds or removes it (a deletion
that a foreign key cascades to as well). So it takes one look to know that somebody has too much,
over all workers, and one short statement to let go of the oldest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import Connection

Kind = Literal["events", "history", "ended", "once"]

MIB = 1024 * 1024

LOOKED_AT_ROWS = 500
"""Rows that one trim looks at, and may remove: a write takes a few milliseconds at most, also
where an earlier version has left far too much."""

_SLACK = 16
"""A trim makes room for a sixteenth of the allowance more, so that not every write has to trim."""

_CONNECTION_KEY = "sandbox-gateway.allowance"


@dataclass(frozen=True)
class Allowance:
    """How many bytes may be kept of one owner. `labels` are those of its live sandboxes together;
    they are refused beyond that and not trimmed, because they are in use."""

    events: int
    history: int
    ended: int
    once: int
    labels: int

    @classmethod
    def of(cls, total_mb: float) -> Allowance:
        """The parts of a total of so many MiB."""
        total = total_mb * MIB
        return cls(
            events=int(total / 4),
            history=int(total / 4),
            ended=int(total / 4),
            once=int(total / 8),
            labels=int(total / 8),
        )


@dataclass(frozen=True)
class _Counted:
    """A kind: its table, how its rows are told apart and ordered by age, and what a row takes.

    `size` is SQL over a row called `{row}`. It counts what a client can make long, and for the
    rest (numbers, indexes, free space of pages) a constant.
    """

    table: str
    row_name: str
    age: str
    size: str
    only: str = "1"


_COUNTED: dict[Kind, _Counted] = {
    "events": _Counted(
        "events",
        "number",
        "number",
        "length(CAST({row}.facts AS BLOB)) + length({row}.event)"
        " + 2 * (length({row}.owner) + length({row}.sandbox_id)) + 60",
    ),
    "history": _Counted(
        "history",
        "rowid",
        "rowid",
        "length(CAST({row}.command AS BLOB)) + 2 * length(CAST({row}.key AS BLOB))"
        " + 2 * (length({row}.owner) + length({row}.sandbox_id)) + 60",
    ),
    "ended": _Counted(
        "sandboxes",
        "sandbox_id",
        "ended_at",
        "600 + coalesce(length(CAST({row}.end_detail AS BLOB)), 0)",
        only="state = 'ended'",
    ),
    "once": _Counted(
        "once",
        "rowid",
        "rowid",
        "2 * length(CAST({row}.request_id AS BLOB)) + length({row}.daemon)"
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
        f"INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, '{kind}', {size})"  # noqa: S608
        " ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes;"
    )


def _subtract(kind: Kind, size: str) -> str:
    return (
        f"UPDATE kept SET bytes = bytes - ({size})"  # noqa: S608
        f" WHERE owner = OLD.owner AND kind = '{kind}';"
    )


def _trigger(name: str, when: str, body: str) -> str:
    return f"CREATE TRIGGER IF NOT EXISTS {name} {when} BEGIN {body} END"


def _row_triggers(kind: Kind, table: str, size: str) -> list[str]:
    added, gone = size.format(row="NEW"), size.format(row="OLD")
    return [
        _trigger(f"{table}_added", f"AFTER INSERT ON {table}", _add(kind, added)),
        _trigger(f"{table}_gone", f"AFTER DELETE ON {table}", _subtract(kind, gone)),
    ]


def _triggers() -> list[str]:
    made = _row_triggers("ended", "idempotency", _IDEMPOTENCY)
    for kind, of in _COUNTED.items():
        if kind != "ended":
            made += _row_triggers(kind, of.table, of.size)
    history, ended = _COUNTED["history"].size, _COUNTED["ended"].size
    return [
        *made,
        _trigger(
            "history_changed",
            "AFTER UPDATE OF command ON history",
            _subtract("history", history.format(row="OLD"))
            + _add("history", history.format(row="NEW")),
        ),
        _trigger(
            "sandboxes_ended",
            "AFTER UPDATE OF state ON sandboxes WHEN NEW.state = 'ended' AND OLD.state <> 'ended'",
            _add("ended", ended.format(row="NEW")),
        ),
        _trigger(
            "sandboxes_gone",
            "AFTER DELETE ON sandboxes WHEN OLD.state = 'ended'",
            _subtract("ended", ended.format(row="OLD")),
        ),
    ]


def install(connection: Connection) -> None:
    """Make the triggers that count. May be repeated."""
    for statement in _triggers():
        connection.exec_driver_sql(statement)


def count_anew(connection: Connection) -> None:
    """Count everything that is there: for a file whose rows are older than the triggers."""
    connection.exec_driver_sql("DELETE FROM kept")
    counted: list[tuple[Kind, str, str, str]] = [
        (kind, of.table, of.size, of.only) for kind, of in _COUNTED.items()
    ]
    counted.append(("ended", "idempotency", _IDEMPOTENCY, "1"))
    for kind, table, size, only in counted:
        connection.exec_driver_sql(
            "INSERT INTO kept (owner, kind, bytes)"  # noqa: S608
            f" SELECT owner, '{kind}', sum({size.format(row=table)}) FROM {table}"
            f" WHERE {only} GROUP BY owner"
            " ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes"
        )


def grant(info: dict[object, object], allowance: Allowance) -> None:
    """Tie an allowance to a connection of the driver's, by its `info`."""
    info[_CONNECTION_KEY] = allowance


def granted(connection: Connection) -> Allowance:
    """The allowance that holds for whatever is written over a connection."""
    return cast(Allowance, connection.info[_CONNECTION_KEY])


def trim(connection: Connection, owner: str, kind: Kind) -> bool:
    """Within a transaction: let go of the oldest of an owner's, if there is too much of a kind.

    Looks at LOOKED_AT_ROWS rows at most. Whether there was too much.
    """
    allowed: int = getattr(granted(connection), kind)
    kept = connection.exec_driver_sql(_KEPT, (owner, kind)).scalar_one_or_none() or 0
    if kept <= allowed:
        return False
    connection.exec_driver_sql(_TRIM[kind], (owner, kept - allowed + allowed // _SLACK))
    return True


def over(connection: Connection) -> list[tuple[str, Kind]]:
    """All owners that have too much of a kind, with the kind."""
    allowance = granted(connection)
    return [
        (owner, kind)
        for kind in _COUNTED
        for (owner,) in connection.exec_driver_sql(_OVER, (kind, getattr(allowance, kind)))
    ]


def labels_fit(connection: Connection, owner: str, sandbox_id: str, size: int) -> bool:
    """Whether labels of `size` bytes fit beside those of the owner's other live sandboxes."""
    if size <= _SMALL_LABELS:
        return True
    others = connection.exec_driver_sql(_LABELS, (owner, sandbox_id)).scalar_one()
    return int(others) + size <= granted(connection).labels


_SMALL_LABELS = 512
"""Bytes. Adding up takes longer than these matter: a sandbox itself costs far more."""

_KEPT = "SELECT bytes FROM kept WHERE owner = ? AND kind = ?"
_OVER = "SELECT owner FROM kept WHERE kind = ? AND bytes > ?"
_LABELS = (
    "SELECT coalesce(sum(length(CAST(labels AS BLOB))), 0) FROM sandboxes"
    " WHERE owner = ? AND sandbox_id <> ? AND state <> 'ended'"
)


def _trim_statement(of: _Counted) -> str:
    """Removes the oldest rows of an owner until a number of bytes is reached."""
    size = of.size.format(row="t")
    return (
        f"DELETE FROM {of.table} WHERE {of.row_name} IN (SELECT name FROM ("  # noqa: S608
        " SELECT name, sum(size) OVER (ORDER BY age, name) - size AS before FROM ("
        f" SELECT t.{of.row_name} AS name, t.{of.age} AS age, {size} AS size"
        f" FROM {of.table} AS t WHERE t.owner = ? AND {of.only}"
        f" ORDER BY t.{of.age} LIMIT {LOOKED_AT_ROWS})) WHERE before < ?)"
    )


_TRIM = {kind: _trim_statement(of) for kind, of in _COUNTED.items()}
