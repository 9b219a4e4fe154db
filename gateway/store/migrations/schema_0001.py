"""The tables as revision 0001 has them: what `PRAGMA user_version` 7 said before there was Alembic.

Frozen. `gateway.store.tables` has them as they are now.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table

metadata = MetaData()


sandboxes = Table(
    "sandboxes",
    metadata,
    Column("sandbox_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("owner", String, nullable=False, default=""),
    Column("container_id", String),
    Column("worker_id", String),
    Column("created_at", Float, nullable=False),
    Column("born", Float, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("ip_address", String),
    Column("pid", Integer),
    Column("uid", Integer, nullable=False, default=1000, server_default="1000"),
    Column("image", String, nullable=False, default=""),
    Column("isolation", String, nullable=False, default="standard"),
    Column("network", String, nullable=False, default="bridge"),
    Column("cpus", Float, nullable=False, default=0.0),
    Column("memory_mb", Integer, nullable=False, default=0),
    Column("pids", Integer, nullable=False, default=0),
    Column("disk_mb", Integer),
    Column("pool_key", String),
    Column("token_generation", String),
    Column("labels", JSON, nullable=False, default=dict),
    Column("timeout_s", Float),
    Column("expires", Float),
    Column("idle_timeout_s", Float, nullable=False, default=3600.0),
    Column("idle_action", String, nullable=False, default="delete"),
    Column("idle_since", Float, nullable=False),
    Column("warned_of", Float),
    Column("end_reason", String),
    Column("end_detail", String),
    Column("exit_code", Integer),
    Column("ended_at", Float),
)

leases = Table(
    "leases",
    metadata,
    Column("lease_id", String, primary_key=True),
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("worker_id", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("taken_at", Float, nullable=False),
)

once = Table(
    "once",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("request_id", String, primary_key=True),
    Column("daemon", String, nullable=False),
    Column("owner", String, nullable=False, server_default=""),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        nullable=False,
    ),
)

tickets = Table(
    "tickets",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("owner", String, nullable=False),
    Column("worker_id", String, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("valid_until", Float, nullable=False),
    Column("memory_mb", Integer, nullable=False, server_default="0"),
    Column("share_sandboxes", Integer),
    Column("share_memory_mb", Integer),
    Column("ages_from", Float),
    Column("wait_s", Float, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("sandbox_id", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("event", String, nullable=False),
    Column("facts", JSON, nullable=False),
    sqlite_autoincrement=True,
)

history = Table(
    "history",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("command", JSON, nullable=False),
    Column("owner", String, nullable=False, server_default=""),
)


kept = Table(
    "kept",
    metadata,
    Column("owner", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("bytes", Integer, nullable=False),
)

Index("sandboxes_by_state", sandboxes.c.state)
Index("sandboxes_by_container", sandboxes.c.container_id)
Index("sandboxes_by_end", sandboxes.c.ended_at)
Index("sandboxes_by_owner", sandboxes.c.owner, sandboxes.c.ended_at)
Index("leases_by_sandbox", leases.c.sandbox_id)
Index("leases_by_worker", leases.c.worker_id)
Index("idempotency_by_sandbox", idempotency.c.sandbox_id)
Index("events_by_sandbox", events.c.sandbox_id, events.c.number)
Index("events_by_owner", events.c.owner, events.c.number)
Index("events_by_time", events.c.at)
Index("once_by_owner", once.c.owner)
Index("history_by_owner", history.c.owner)
