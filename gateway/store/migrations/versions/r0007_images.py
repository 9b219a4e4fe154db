"""Snapshots that are kept as images of the engine's; and templates, which are built ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Snapshots of before are files."""
    op.add_column(
        "snapshots", sa.Column("kept_as", sa.String, nullable=False, server_default="disk")
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("worker_id", sa.String),
        sa.Column("build_id", sa.String, nullable=False),
        sa.Column("image", sa.String, nullable=False),
        sa.Column("image_id", sa.String, nullable=False, server_default=""),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_at_s", sa.Float, nullable=False),
        sa.Column("made_by", sa.String, nullable=False, server_default=""),
    )
