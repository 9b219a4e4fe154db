"""The tables. A change of them is a revision in `gateway.store.migrations`, too."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")
"""Of 64 bits, and one that SQLite can count up by itself."""

# Columns that are called `…_boot_s` are CLOCK_BOOTTIME in seconds, and mean something together with
# `boot_id` only; `…_at_s` are seconds since the epoch. A `key` is what Python calls a column.

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("sandbox_id", String, primary_key=True),
    # pooling, pooled, starting, ready, pausing, paused, held, removing, ended
    Column("state", String, nullable=False),
    Column("owner", String, nullable=False, default=""),  # name of an API key; "" without keys
    Column("name", String),  # of a live one, unique among its owner's
    Column("container_id", String),
    Column("worker_id", String),  # who is at work on it: pooling, starting, pausing, held, removing
    Column("created_at_s", Float, key="created_at", nullable=False),
    Column("born_boot_s", Float, key="born", nullable=False),
    Column("boot_id", String, nullable=False),
    Column("ip_address", String),
    Column("pid", Integer),  # of the container's first process, on the engine's host
    # Of the user that commands run as. What was made before there was this column has 1000.
    Column("uid", Integer, nullable=False, default=1000, server_default="1000"),
    # What it was made with: what no query reads is in `options`, by the name of its option
    # (`gateway.sandboxes.spec.sandbox_spec`).
    Column("options", JSON, nullable=False, default=dict, server_default="{}"),
    Column("image", String, nullable=False, default=""),
    Column("isolation", String, nullable=False, default="standard"),
    Column("network", String, nullable=False, default="bridge"),  # bridge, none
    Column("cpus", Float, nullable=False, default=0.0),
    Column("memory_mb", Integer, nullable=False, default=0),
    Column("pids", Integer, nullable=False, default=0),
    Column("disk_mb", Integer),
    Column("pool_key", String),  # of pooled ones: who may take it
    Column("token_generation", String),
    # When it ends.
    Column("labels", JSON, nullable=False, default=dict),
    Column("timeout_s", Float),
    Column("expires_boot_s", Float, key="expires"),
    Column("idle_timeout_s", Float, nullable=False, default=3600.0),
    Column("idle_action", String, nullable=False, default="delete"),  # delete, pause
    Column("idle_since_boot_s", Float, key="idle_since", nullable=False),  # valid without leases
    Column("warned_of_boot_s", Float, key="warned_of"),  # the end that followers were warned of
    # While it is held (`gateway.store.holds`), and after.
    Column("hold_returns_to", String),  # ready, paused
    Column("restoring_from", String),  # the snapshot, while it is brought back
    Column("restored_from", String),  # the last one that was brought back
    Column("restored_count", Integer, nullable=False, default=0, server_default="0"),
    # The first sandbox of those whose snapshots its files came from; null: they are its own.
    Column("origin", String),
    # How it ended.
    Column("end_reason", String),
    Column("end_detail", String),
    Column("exit_code", Integer),
    Column("ended_at_s", Float, key="ended_at"),
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
    Column("purpose", String, nullable=False),  # client, command, request
    Column("taken_boot_s", Float, key="taken_at", nullable=False),
)

once = Table(
    "once_commands",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("request_id", String, primary_key=True),
    # The agent that was given the command.
    Column("agent_id", String, key="daemon", nullable=False),
    Column("checkpoint", String),  # the snapshot that was taken before it
    Column("owner", String, nullable=False, server_default=""),  # the sandbox's
    Column("noted_order", Number, nullable=False, server_default="0"),  # among the owner's
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),  # of the request
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
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("owner", String, nullable=False),
    Column("worker_id", String, nullable=False),
    Column("turn", Integer, nullable=False),  # virtual time: see `gateway.store.admission`
    Column("valid_until_boot_s", Float, key="valid_until", nullable=False),
    # What whose turn it is depends on: see `gateway.store.turns`.
    Column("memory_mb", Integer, nullable=False, server_default="0"),
    Column("share_sandboxes", Integer),
    Column("share_memory_mb", Integer),
    Column("ages_from_boot_s", Float, key="ages_from"),
    Column("wait_s", Float, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("sandbox_id", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("at_s", Float, key="at", nullable=False),
    Column("event", String, nullable=False),
    Column("facts", JSON, nullable=False),
    sqlite_autoincrement=True,
)

history = Table(
    "command_history",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", String, primary_key=True),
    Column("began_at_s", Float, key="at", nullable=False),  # when it began
    Column("command", JSON, nullable=False),  # a `gateway.store.history.CommandRecord`
    Column("owner", String, nullable=False, server_default=""),  # the sandbox's
    Column("noted_order", Number, nullable=False, server_default="0"),  # among the owner's
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", String, primary_key=True),
    Column("state", String, nullable=False),  # making, there, removing
    Column("kind", String, nullable=False),  # kept, checkpoint, fork
    Column("owner", String, nullable=False),
    Column("name", String),  # unique among its owner's
    Column("worker_id", String),  # who is making it or, of the kind `fork`, who needs it
    Column("sandbox_id", String, nullable=False),  # whose files they were; it may have ended
    Column("created_at_s", Float, key="created_at", nullable=False),
    Column("noted_order", Number, nullable=False),  # among the owner's
    # What a sandbox with these files must be made of: an image's name may have moved on.
    Column("image", String, nullable=False),
    Column("image_id", String, nullable=False),
    Column("uid", Integer, nullable=False),  # of the user whose files they are
    Column("disk_mb", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("labels", JSON, nullable=False, default=dict),
    # `disk`: a file on the host's disk. `image`: an image of the engine's, which loses something.
    Column("kept_as", String, nullable=False, default="disk", server_default="disk"),
    Column("origin", String),  # that of its sandbox; null: the sandbox itself
)

templates = Table(
    "templates",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),  # making, there, removing
    Column("worker_id", String),  # who is making it
    Column("build_id", String, nullable=False),  # carried by all that the engine makes for it
    Column("image", String, nullable=False),  # what the engine calls it
    Column("image_id", String, nullable=False, default="", server_default=""),
    Column("size_bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("created_at_s", Float, key="created_at", nullable=False),
    Column("made_by", String, nullable=False, default="", server_default=""),  # name of a key
)

command_changes = Table(
    "command_changes",
    metadata,
    Column(
        "sandbox_id",
        String,
        ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", String, primary_key=True),  # names the command to its agent
    Column("worker_id", String),  # who has the files of before; null: it was told, or is lost
    Column("changes", JSON),  # a `gateway.schemas.models.Changes`; null: not known yet, or lost
    Column("size_bytes", Integer, nullable=False, server_default="0"),  # of `changes`
    Column("owner", String, nullable=False, server_default=""),  # the sandbox's
    Column("noted_order", Number, nullable=False, server_default="0"),  # among the owner's
)

# What is there of each owner, by kind: written by the triggers of `gateway.store.allowance` alone.
kept = Table(
    "kept_bytes",
    metadata,
    Column("owner", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("bytes", Number, nullable=False),
)

Index("sandboxes_by_state", sandboxes.c.state)
Index("sandboxes_by_container", sandboxes.c.container_id)
Index("sandboxes_by_end", sandboxes.c.ended_at)
Index("sandboxes_by_owner", sandboxes.c.owner, sandboxes.c.ended_at)
Index(
    "sandboxes_by_name",
    sandboxes.c.owner,
    sandboxes.c.name,
    unique=True,
    sqlite_where=sandboxes.c.name.is_not(None),
    postgresql_where=sandboxes.c.name.is_not(None),
)
Index(
    "snapshots_by_name",
    snapshots.c.owner,
    snapshots.c.name,
    unique=True,
    sqlite_where=snapshots.c.name.is_not(None),
    postgresql_where=snapshots.c.name.is_not(None),
)
Index("snapshots_by_owner", snapshots.c.owner, snapshots.c.noted_order)
Index("leases_by_sandbox", leases.c.sandbox_id)
Index("leases_by_worker", leases.c.worker_id)
Index("idempotency_by_sandbox", idempotency.c.sandbox_id)
Index("events_by_sandbox", events.c.sandbox_id, events.c.number)
Index("events_by_owner", events.c.owner, events.c.number)
Index("events_by_time", events.c.at)
Index("once_commands_by_owner", once.c.owner, once.c.noted_order)
Index("command_changes_by_owner", command_changes.c.owner, command_changes.c.noted_order)
Index("command_history_by_owner", history.c.owner, history.c.noted_order)
