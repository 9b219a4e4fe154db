"""What the store keeps of one owner, in bytes: the oldest of that owner's goes first.

Triggers of the database (`gateway.store.byte_counts`) count what is there, per owner and kind,
whoever adds or removes it. So it takes one look to know that somebody has too much, over all
workers, and one short statement to let go of the oldest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy import (
    BindParameter,
    Connection,
    ScalarSelect,
    Table,
    TextClause,
    func,
    select,
    text,
)

from gateway.store.byte_counts import COUNTED, Counted, Kind, in_dialect

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


def grant(info: dict[object, object], allowance: Allowance) -> None:
    """Tie an allowance to a connection of the driver's, by its `info`."""
    info[_CONNECTION_KEY] = allowance


def granted(connection: Connection) -> Allowance:
    """The allowance that holds for whatever is written over a connection.

    Raises SQLAlchemyError.
    """
    return cast(Allowance, connection.info[_CONNECTION_KEY])


def next_of(table: Table, owner: str | BindParameter[str]) -> ScalarSelect[int]:
    """The `noted_order` of a new row: behind all that the table has of the owner. A clock may jump;
    the oldest must not become the newest by that."""
    latest = func.coalesce(func.max(table.c.noted_order), 0) + 1
    return select(latest).where(table.c.owner == owner).scalar_subquery()


def trim(connection: Connection, owner: str, kind: Kind) -> bool:
    """Within a transaction: let go of the oldest of an owner's, if there is too much of a kind.

    Looks at LOOKED_AT_ROWS rows at most. Whether there was too much. Raises SQLAlchemyError, which
    `Database` translates.
    """
    allowed: int = getattr(granted(connection), kind)
    whose = {"owner": owner, "kind": kind}
    kept = connection.execute(_KEPT, whose).scalar_one_or_none() or 0
    if kept <= allowed:
        return False
    surplus = kept - allowed + allowed // _SLACK
    connection.execute(_TRIM[connection.dialect.name][kind], {"owner": owner, "surplus": surplus})
    return True


def over(connection: Connection) -> list[tuple[str, Kind]]:
    """All owners that have too much of a kind, with the kind. Raises SQLAlchemyError."""
    allowance = granted(connection)
    return [
        (owner, kind)
        for kind in COUNTED
        for (owner,) in connection.execute(
            _OVER, {"kind": kind, "allowed": getattr(allowance, kind)}
        )
    ]


def labels_fit(connection: Connection, owner: str, sandbox_id: str, size: int) -> bool:
    """Whether labels of `size` bytes fit beside those of the owner's other live sandboxes.
    Raises SQLAlchemyError."""
    if size <= _SMALL_LABELS:
        return True
    others = connection.execute(
        _LABELS[connection.dialect.name], {"owner": owner, "sandbox_id": sandbox_id}
    ).scalar_one()
    return int(others) + size <= granted(connection).labels


_SMALL_LABELS = 512
"""Bytes. Adding up takes longer than these matter: a sandbox itself costs far more."""

_KEPT = text("SELECT bytes FROM kept_bytes WHERE owner = :owner AND kind = :kind")
_OVER = text("SELECT owner FROM kept_bytes WHERE kind = :kind AND bytes > :allowed")
_LABELS = {
    dialect: text(
        in_dialect(
            "SELECT coalesce(sum(octets(labels)), 0) FROM sandboxes"
            " WHERE owner = :owner AND sandbox_id <> :sandbox_id AND state <> 'ended'",
            dialect,
        )
    )
    for dialect in ("sqlite", "postgresql")
}


def _trim_statement(of: Counted, dialect: str) -> TextClause:
    """Removes the oldest rows of an owner until `surplus` bytes are gone."""
    names = ", ".join(of.row_name)
    size = of.size.format(row="t")
    statement = (
        f"DELETE FROM {of.table} WHERE ({names}) IN (SELECT {names} FROM ("  # noqa: S608
        f" SELECT {names}, sum(size) OVER (ORDER BY age, {names}) - size AS before FROM ("
        f" SELECT {names}, {of.age} AS age, {size} AS size"
        f" FROM {of.table} AS t WHERE t.owner = :owner AND {of.only}"
        f" ORDER BY {of.age} LIMIT {LOOKED_AT_ROWS}) AS looked_at) AS oldest"
        " WHERE before < :surplus)"
    )
    return text(in_dialect(statement, dialect))


_TRIM = {
    dialect: {kind: _trim_statement(of, dialect) for kind, of in COUNTED.items()}
    for dialect in ("sqlite", "postgresql")
}
