"""Brings a store up to date, in place and in one transaction: nothing that it knows is lost, and
what fails half-way leaves it as it was."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, inspect

from gateway.store import byte_counts
from gateway.store.revision import HEAD, LAST_WITHOUT_ALEMBIC, MARK, check_known
from gateway.store.tables import metadata

log = logging.getLogger(__name__)


def is_up_to_date(connection: Connection) -> bool:
    """Whether the tables are those of now. Raises StoreTooNew, SQLAlchemyError."""
    return _revision_of(connection) == HEAD


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables, or migrate them. May be repeated, by any worker: to be called within a
    write transaction, with foreign keys not looked at. Raises StoreTooNew, SQLAlchemyError."""
    revision = _revision_of(connection)
    if revision == HEAD:
        return
    version = _user_version(connection)
    if revision is None and not inspect(connection).has_table("sandboxes"):
        metadata.create_all(connection)
        byte_counts.install(connection)
        stamp(connection, HEAD)
        return
    # Alembic takes half a second to import; few starts need it.
    from gateway.store.migrations.carrying_out import migrate
    from gateway.store.migrations.older_files import bring_to_0001

    log.warning("the store is migrated to revision %s", HEAD)
    # They are made anew at the end: a revision need not care for them.
    byte_counts.uninstall(connection)
    if revision is None:
        if version < LAST_WITHOUT_ALEMBIC:
            bring_to_0001(connection, version)
        stamp(connection, "0001")
    migrate(connection, HEAD)
    stamp(connection, HEAD)
    byte_counts.install(connection)
    byte_counts.count_anew(connection)


def _revision_of(connection: Connection) -> str | None:
    # Asked first: another process may bring the store up to date between these two questions.
    version = _user_version(connection)
    revision = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        revision = None if found is None else str(found[0])
    check_known(revision, version)
    return revision


def stamp(connection: Connection, revision: str) -> None:
    """As `alembic stamp` would, which takes an import of Alembic. Raises SQLAlchemyError."""
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql("DELETE FROM alembic_version")
    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")  # noqa: S608
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version={MARK}")


def _user_version(connection: Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
