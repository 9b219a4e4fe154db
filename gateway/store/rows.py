"""A sandbox as the store knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select

from gateway.settings import SHARED_UID
from gateway.store.tables import leases, sandboxes

LIVE = ("starting", "ready", "pausing", "paused", "held", "removing")
"""States of sandboxes that somebody has asked for and that have not ended."""

USABLE = ("ready", "pausing", "paused", "held")


@dataclass(frozen=True)
class SandboxRow:
    """A row of `gateway.store.tables.sandboxes`, which explains the columns.

    `lease_count` is over all workers; `client_count` are those of clients among them, and
    `request_count` those of short requests.
    """

    sandbox_id: str
    state: str
    container_id: str | None
    worker_id: str | None
    created_at: float
    ip_address: str | None
    idle_since: float
    boot_id: str
    end_reason: str | None
    lease_count: int
    client_count: int = 0
    request_count: int = 0
    pid: int | None = None
    uid: int = SHARED_UID
    owner: str = ""
    name: str | None = None
    born: float = 0.0
    image: str = ""
    isolation: str = "standard"
    network: str = "bridge"
    cpus: float = 0.0
    memory_mb: int = 0
    pids: int = 0
    disk_mb: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pool_key: str | None = None
    labels: Mapping[str, str] | None = None
    timeout_s: float | None = None
    expires: float | None = None
    idle_timeout_s: float = 3600.0
    idle_action: str = "delete"
    warned_of: float | None = None
    hold_returns_to: str | None = None
    restoring_from: str | None = None
    restored_from: str | None = None
    restored_count: int = 0
    origin: str | None = None
    end_detail: str | None = None
    exit_code: int | None = None
    ended_at: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether somebody is connected, or something runs: short requests do not show."""
        return self.lease_count > self.request_count


COLUMNS = [
    sandboxes.c[one.name].label(one.name) for one in fields(SandboxRow) if one.name in sandboxes.c
]


def _leases_of(purpose: str | None) -> Any:
    query = select(func.count()).where(leases.c.sandbox_id == sandboxes.c.sandbox_id)
    if purpose is not None:
        query = query.where(leases.c.purpose == purpose)
    return query.correlate(sandboxes).scalar_subquery()


_ROWS = select(
    *COLUMNS,
    _leases_of(None).label("lease_count"),
    _leases_of("client").label("client_count"),
    _leases_of("request").label("request_count"),
).order_by(sandboxes.c.created_at, sandboxes.c.sandbox_id)

# Built once: that takes longer than to carry them out.
_BY_ID = _ROWS.where(sandboxes.c.sandbox_id == bindparam("id"))
_BY_CONTAINER = _ROWS.where(sandboxes.c.container_id == bindparam("id"))
_LIVE = _ROWS.where(sandboxes.c.state.in_(LIVE))
_DUE = _ROWS.where(
    sandboxes.c.state.in_(USABLE),
    or_(
        sandboxes.c.boot_id != bindparam("boot_id"),
        sandboxes.c.expires <= bindparam("by"),
        sandboxes.c.idle_since + sandboxes.c.idle_timeout_s <= bindparam("by"),
    ),
)


def rows(
    connection: Connection, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[SandboxRow]:
    """Those that meet all conditions, oldest first, at most `limit`. Raises SQLAlchemyError."""
    found = connection.execute(_ROWS.where(*conditions).limit(limit))
    return [SandboxRow(**one._mapping) for one in found]


def row(connection: Connection, sandbox_id: str) -> SandboxRow | None:
    """The one, ended or not; None when it is not known. Raises SQLAlchemyError."""
    found = connection.execute(_BY_ID, {"id": sandbox_id}).one_or_none()
    return None if found is None else SandboxRow(**found._mapping)


def row_of_container(connection: Connection, container_id: str) -> SandboxRow | None:
    """The first one that has the container. Raises SQLAlchemyError."""
    found = connection.execute(_BY_CONTAINER, {"id": container_id}).first()
    return None if found is None else SandboxRow(**found._mapping)


def live_rows(connection: Connection) -> list[SandboxRow]:
    """All that were asked for and have not ended, oldest first. Raises SQLAlchemyError."""
    return [SandboxRow(**one._mapping) for one in connection.execute(_LIVE)]


def due_rows(connection: Connection, *, by: float, boot_id: str) -> list[SandboxRow]:
    """The usable ones whose time has come at a boot time `by`, or that are of another boot. Raises
    SQLAlchemyError."""
    found = connection.execute(_DUE, {"by": by, "boot_id": boot_id})
    return [SandboxRow(**one._mapping) for one in found]
