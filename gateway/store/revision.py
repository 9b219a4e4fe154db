"""Which version of the tables a store has. Without SQLAlchemy: the master asks before it forks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.errors import StoreTooNew, StoreUnavailable

HEAD = "0007"
"""The revision whose tables `gateway.store.tables` has."""

KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006", HEAD)

LAST_WITHOUT_ALEMBIC = 7
"""`PRAGMA user_version` of files that have the tables of revision 0001."""

MARK = 8
"""`PRAGMA user_version` of files that Alembic keeps. Versions of the gateway from before that set
such a file aside, whole, instead of failing with it."""


def check_known(revision: str | None, user_version: int = 0) -> None:
    """Raises StoreTooNew when a later version of the gateway has written the store."""
    if revision is None and user_version > LAST_WITHOUT_ALEMBIC:
        raise StoreTooNew(f"the store has version {user_version}, which is not known here")
    if revision is not None and revision not in KNOWN:
        raise StoreTooNew(
            f"the store has revision {revision}; this version of the gateway knows revisions up to"
            f" {HEAD}. Start the version that wrote it, or another data directory"
        )


def is_behind(path: Path) -> bool:
    """Whether a file has to be migrated before it can be used. False for one that is not there.

    Raises StoreTooNew, and StoreUnavailable for what is no database.
    """
    if not path.exists() or not path.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(path, timeout=5)) as file:
            user_version = int(file.execute("PRAGMA user_version").fetchone()[0])
            revision = None
            if file.execute(_HAS_REVISION).fetchone():
                revision = file.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    check_known(revision, user_version)
    return revision != HEAD and user_version > 0


_HAS_REVISION = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
