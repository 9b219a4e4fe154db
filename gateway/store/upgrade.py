"""Brings a file of an earlier version up to date, in place: nothing that it knows is lost."""

from __future__ import annotations

from sqlalchemy import Connection, inspect
from sqlalchemy.schema import CreateColumn

from gateway.store import allowance
from gateway.store.tables import SCHEMA_VERSION, metadata

UPGRADABLE = frozenset((4, 5, 6, SCHEMA_VERSION))
"""Versions of files that are kept; 0 is an empty one."""

_OWNER = "coalesce((SELECT owner FROM sandboxes WHERE sandboxes.sandbox_id = {0}.sandbox_id), '')"


def bring_up_to_date(connection: Connection) -> None:
    """Make what is missing. Runs in one write transaction; may be repeated, by any worker."""
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version == SCHEMA_VERSION:
        return
    metadata.create_all(connection)
    _add_columns_and_indexes(connection)
    if version == 4:
        for table in ("once", "history"):
            connection.exec_driver_sql(f"UPDATE {table} SET owner = {_OWNER.format(table)}")  # noqa: S608
        allowance.count_anew(connection)
    allowance.install(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")


def _add_columns_and_indexes(connection: Connection) -> None:
    """`create_all` makes whole tables only."""
    there = inspect(connection)
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in there.get_columns(table.name)}
        indexes = {index["name"] for index in there.get_indexes(table.name)}
        for column in table.columns:
            if column.name not in columns:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)
