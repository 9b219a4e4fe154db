"""Units in the names of columns, the words of the rest of the gateway, and no `rowid`.

PostgreSQL has no `rowid`: which of an owner's notes are the oldest, a column of their own tells.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_TABLES = {"once": "once_commands", "history": "command_history", "kept": "kept_bytes"}

# By table, old name, new name. `_boot_s` is CLOCK_BOOTTIME in seconds, `_at_s` the time since the
# epoch in seconds.
_COLUMNS = {
    "sandboxes": {
        "created_at": "created_at_s",
        "born": "born_boot_s",
        "expires": "expires_boot_s",
        "idle_since": "idle_since_boot_s",
        "warned_of": "warned_of_boot_s",
        "ended_at": "ended_at_s",
    },
    "leases": {"taken_at": "taken_boot_s"},
    "tickets": {"valid_until": "valid_until_boot_s", "ages_from": "ages_from_boot_s"},
    "events": {"at": "at_s"},
    "command_history": {"at": "began_at_s"},
    "once_commands": {"daemon": "agent_id"},
}


def upgrade() -> None:
    """Rename; then give notes their order."""
    op.drop_index("once_by_owner", table_name="once")
    op.drop_index("history_by_owner", table_name="history")
    for old, new in _TABLES.items():
        op.rename_table(old, new)
    for table, names in _COLUMNS.items():
        for old, new in names.items():
            op.alter_column(table, old, new_column_name=new)
    for table in ("once_commands", "command_history"):
        order = sa.Column("noted_order", _NUMBER, nullable=False, server_default="0")
        op.add_column(table, order)
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"UPDATE {table} SET noted_order = rowid")  # noqa: S608
        op.create_index(f"{table}_by_owner", table, ["owner", "noted_order"])
    for table, column in (("kept_bytes", "bytes"), ("events", "number"), ("tickets", "number")):
        if op.get_bind().dialect.name != "sqlite":  # where each integer has 64 bits
            op.alter_column(table, column, type_=sa.BigInteger)
