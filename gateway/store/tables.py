"""The tables. `SCHEMA_VERSION` changes with them; an older file is set aside, not migrated,
because everything that matters is found again from the engine."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, MetaData, String, Table

SCHEMA_VERSION = 2

metadata = MetaData()

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("sandbox_id", String, primary_key=True),
    Column("state", String, nullable=False),  # starting, ready, removing, ended
    Column("container_id", String),
    Column("worker_id", String),  # who is creating it
    Column("created_at", Float, nullable=False),  # seconds since the epoch
    Column("ip_address", String),
    Column("idle_since", Float, nullable=False),  # boot time, seconds; valid without leases
    Column("boot_id", String, nullable=False),
    Column("end_reason", String),
    Column("ended_at", Float),  # seconds since the epoch
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
    Column("purpose", String, nullable=False),  # client, command
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
    Column("daemon", String, nullable=False),  # the agent that was given the command
)

Index("leases_by_sandbox", leases.c.sandbox_id)
Index("leases_by_worker", leases.c.worker_id)
