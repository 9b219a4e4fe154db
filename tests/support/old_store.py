"""A store as the last version without migrations wrote it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path

_RENAMED = import_module("gateway.store.migrations.versions.r0002_units_and_words")

WITHOUT_SNAPSHOTS = (
    "DROP TABLE templates",
    "DROP TABLE command_changes",
    "ALTER TABLE once_commands DROP COLUMN checkpoint",
    "ALTER TABLE sandboxes DROP COLUMN origin",
    "DROP TABLE snapshots",
    "ALTER TABLE sandboxes DROP COLUMN hold_returns_to",
    "ALTER TABLE sandboxes DROP COLUMN restoring_from",
    "ALTER TABLE sandboxes DROP COLUMN restored_from",
    "ALTER TABLE sandboxes DROP COLUMN restored_count",
)
"""What makes the tables those of revision 0004, where nothing of it is used."""


def back_to_version_7(path: Path) -> None:
    """Give the file of a gateway that does not run the tables that it would have had then, with all
    that is in them."""
    with closing(sqlite3.connect(path)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            file.execute(f"DROP TRIGGER {name}")
        for statement in WITHOUT_SNAPSHOTS:
            file.execute(statement)
        file.execute("ALTER TABLE sandboxes DROP COLUMN options")
        file.execute("DROP INDEX sandboxes_by_name")
        file.execute("ALTER TABLE sandboxes DROP COLUMN name")
        for table in ("once_commands", "command_history"):
            file.execute(f"DROP INDEX {table}_by_owner")
            file.execute(f"ALTER TABLE {table} DROP COLUMN noted_order")
        for table, names in _RENAMED._COLUMNS.items():
            for old, new in names.items():
                file.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
        for old, new in _RENAMED._TABLES.items():
            file.execute(f"ALTER TABLE {new} RENAME TO {old}")
        file.execute("CREATE INDEX once_by_owner ON once (owner)")
        file.execute("CREATE INDEX history_by_owner ON history (owner)")
        file.execute("DROP TABLE alembic_version")
        file.execute("PRAGMA user_version=7")
        file.commit()


def back_to_version_6(path: Path) -> None:
    """Likewise, of the version before sandboxes had users of their own."""
    back_to_version_7(path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE sandboxes DROP COLUMN uid")
        file.execute("PRAGMA user_version=6")
        file.commit()
