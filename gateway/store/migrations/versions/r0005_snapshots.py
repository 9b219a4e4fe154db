"""Snapshots of sandboxes; and what a sandbox is held for while one is taken or brought back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """No sandbox of before is held, and none was ever restored."""
    op.create_table(
        "snapshots",
        sa.Column("snapshot_id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String),
        sa.Column("worker_id", sa.String),
        sa.Column("sandbox_id", sa.String, nullable=False),
        sa.Column("created_at_s", sa.Float, nullable=False),
        sa.Column("noted_order", _NUMBER, nullable=False),
        sa.Column("image", sa.String, nullable=False),
        sa.Column("image_id", sa.String, nullable=False),
        sa.Column("uid", sa.Integer, nullable=False),
        sa.Column("disk_mb", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("labels", sa.JSON, nullable=False),
    )
    op.create_index(
        "snapshots_by_name",
        "snapshots",
        ["owner", "name"],
        unique=True,
        sqlite_where=sa.text("name IS NOT NULL"),
        postgresql_where=sa.text("name IS NOT NULL"),
    )
    op.create_index("snapshots_by_owner", "snapshots", ["owner", "noted_order"])
    op.add_column("sandboxes", sa.Column("hold_returns_to", sa.String))
    op.add_column("sandboxes", sa.Column("restoring_from", sa.String))
    op.add_column("sandboxes", sa.Column("restored_from", sa.String))
    op.add_column(
        "sandboxes", sa.Column("restored_count", sa.Integer, nullable=False, server_default="0")
    )
