"""Where a sandbox's files come from; checkpoints of commands, and what commands changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Snapshots and sandboxes of before are known to be related to their own only."""
    op.add_column("snapshots", sa.Column("origin", sa.String))
    op.add_column("sandboxes", sa.Column("origin", sa.String))
    op.add_column("once_commands", sa.Column("checkpoint", sa.String))
    op.create_table(
        "command_changes",
        sa.Column(
            "sandbox_id",
            sa.String,
            sa.ForeignKey("sandboxes.sandbox_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("worker_id", sa.String),
        sa.Column("changes", sa.JSON),
        sa.Column("size_bytes", sa.Integer, nullable=False, server_default="0"),
        sa.Column("owner", sa.String, nullable=False, server_default=""),
        sa.Column("noted_order", _NUMBER, nullable=False, server_default="0"),
    )
    op.create_index("command_changes_by_owner", "command_changes", ["owner", "noted_order"])
