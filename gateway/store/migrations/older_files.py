"""SQLite files of the versions before revision 0001, brought to that in place."""

from __future__ import annotations

from sqlalchemy import Column, Connection, inspect
from sqlalchemy.schema import CreateColumn

from gateway.store.migrations.schema_0001 import metadata

_OWNER = "coalesce((SELECT owner FROM sandboxes WHERE sandboxes.sandbox_id = {0}.sandbox_id), '')"

# What rows of versions 1 to 3 have in columns that must have a value. Their boot is over.
_FILLED = {
    "owner": "''",
    "born": "0",
    "taken_at": "0",
    "image": "''",
    "isolation": "'standard'",
    "network": "'bridge'",
    "cpus": "0",
    "memory_mb": "0",
    "pids": "0",
    "labels": "'{}'",
    "idle_timeout_s": "3600",
    "idle_action": "'delete'",
}


def bring_to_0001(connection: Connection, version: int) -> None:
    """Make what is missing in a file whose `user_version` is less than 7.

    Runs within a write transaction. Raises SQLAlchemyError; then nothing has changed.
    """
    if version == 3:  # a number then; as text, another kind of generation now
        connection.exec_driver_sql("ALTER TABLE sandboxes DROP COLUMN token_generation")
    metadata.create_all(connection)
    there = inspect(connection)
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in there.get_columns(table.name)}
        indexes = {index["name"] for index in there.get_indexes(table.name)}
        for column in table.columns:
            if column.name not in columns:
                connection.exec_driver_sql(
                    f"ALTER TABLE {table.name} ADD COLUMN {_definition(column, connection)}"
                )
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)
    if version < 5:
        for name in ("once", "history"):
            connection.exec_driver_sql(f"UPDATE {name} SET owner = {_OWNER.format(name)}")  # noqa: S608


def _definition(column: Column[object], connection: Connection) -> str:
    text = str(CreateColumn(column).compile(dialect=connection.dialect))
    if column.server_default is None and column.name in _FILLED:
        text += f" DEFAULT {_FILLED[column.name]}"
    return text
