"""The right to do what only one of a gateway's processes may."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from gateway.errors import StoreUnavailable
from gateway.process.file_lock import try_lock


class Leadership:
    """One process has it at a time, until it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Try to become (or stay) the one. Never blocks. Raises StoreUnavailable."""
        if self._lock is None:
            try:
                self._lock = try_lock(self._path)
            except OSError as error:
                raise StoreUnavailable(str(error)) from error
        return self._lock is not None

    def close(self) -> None:
        """Give it up. May be repeated."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
