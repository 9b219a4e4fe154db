"""A place for the options of sandboxes that no query reads: another one needs no revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Sandboxes of before have the defaults of such options."""
    op.add_column("sandboxes", sa.Column("options", sa.JSON, nullable=False, server_default="{}"))
