"""Names of sandboxes: unique among those of one owner that have not ended, which keep none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """No sandbox of before has a name."""
    op.add_column("sandboxes", sa.Column("name", sa.String))
    op.create_index(
        "sandboxes_by_name",
        "sandboxes",
        ["owner", "name"],
        unique=True,
        sqlite_where=sa.text("name IS NOT NULL"),
        postgresql_where=sa.text("name IS NOT NULL"),
    )
