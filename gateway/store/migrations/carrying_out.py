"""Runs the revisions that a store lacks, over a connection that is in its transaction."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def scripts() -> ScriptDirectory:
    """The revisions there are."""
    config = Config()  # nothing is read from a file
    config.set_main_option("script_location", str(Path(__file__).parent))
    return ScriptDirectory.from_config(config)


def migrate(connection: Connection, revision: str) -> None:
    """From the revision that the store is stamped with to `revision`.

    Alembic's own tutorial runs an `env.py` here, which would open the store a second time. Raises
    SQLAlchemyError; the transaction is the caller's to roll back.
    """
    found = scripts()

    def steps(current: tuple[str, ...] | str, _context: MigrationContext) -> list[RevisionStep]:
        return list(found._upgrade_revs(revision, current))  # type: ignore[arg-type]

    with EnvironmentContext(Config(), found, fn=steps, destination_rev=revision) as context:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
