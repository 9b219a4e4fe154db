"""The tables as they were when Alembic came."""

from __future__ import annotations

from alembic import op

from gateway.store.migrations.schema_0001 import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, in an empty store. One that has them already is stamped with this
    revision."""
    metadata.create_all(op.get_bind())
