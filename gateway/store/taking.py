"""Which sandbox an admitted request gets: one of the pool, or a new row. Within a transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from gateway.store import rows as reading
from gateway.store.events import record
from gateway.store.rows import SandboxRow
from gateway.store.tables import sandboxes
from gateway.store.uids import free_uid


def take_pooled(
    connection: Connection, wanted: SandboxRow, *, needs_update: bool, leave: int = 0
) -> SandboxRow | None:
    """The pooled sandbox that waits longest, made over to whoever wants it; None when none serves,
    or no more than `leave` do. Raises SQLAlchemyError."""
    if wanted.pool_key is None:
        return None
    values = _values(wanted)
    values["state"] = "starting" if needs_update else "ready"
    if not needs_update:
        values["worker_id"] = None
    given = {f"new_{name}": values[name] for name in _GIVEN_OVER}
    taken = connection.execute(
        _TAKE, {"key": wanted.pool_key, "leave": leave, **given}
    ).one_or_none()
    if taken is None:
        return None
    row = SandboxRow(**taken._mapping, lease_count=0)
    if not needs_update:
        record(connection, row.sandbox_id, "created")
    return row


def note_new(connection: Connection, wanted: SandboxRow, uids: range) -> SandboxRow:
    """A row for a sandbox that is to be made, with one of `uids` where there is a free one. Raises
    SQLAlchemyError."""
    uid = free_uid(connection, uids)
    noted = replace(wanted, pool_key=None, uid=wanted.uid if uid is None else uid)
    connection.execute(insert(sandboxes).values(_values(noted)))
    return noted


def _values(row: SandboxRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__dataclass_fields__ if name in sandboxes.c}
    values["labels"] = dict(row.labels or {})
    return values


_GIVEN_OVER = [
    column.name
    for column in reading.COLUMNS
    if column.name not in ("sandbox_id", "container_id", "ip_address", "pid", "uid")
]
"""What a taken sandbox has from the request."""

_SERVES = (sandboxes.c.state == "pooled", sandboxes.c.pool_key == bindparam("key"))

_TAKE = (
    update(sandboxes)
    .where(
        sandboxes.c.sandbox_id
        == select(sandboxes.c.sandbox_id)
        .where(*_SERVES)
        .order_by(sandboxes.c.created_at)
        .limit(1)
        .scalar_subquery(),
        select(func.count()).select_from(sandboxes).where(*_SERVES).scalar_subquery()
        > bindparam("leave"),
    )
    .values({name: bindparam(f"new_{name}", type_=sandboxes.c[name].type) for name in _GIVEN_OVER})
    .returning(*reading.COLUMNS)
)
