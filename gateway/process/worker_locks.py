"""Which gateway processes are alive: each holds a lock on a file of its own.

This holds on one host; several hosts will need heartbeats in the database.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from gateway.errors import StoreUnavailable
from gateway.process.file_lock import is_locked, try_lock
from gateway.process.use_marks import path_of


class WorkerRegistry:
    """This process's own entry, and what can be said about the others. Raises StoreUnavailable."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.worker_id = f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[bytes] | None = self._locked_file()
        except OSError as error:
            raise StoreUnavailable(str(error)) from error

    def _locked_file(self) -> IO[bytes]:
        path = self._path(self.worker_id)
        while True:
            lock = try_lock(path)
            if lock is None:
                continue  # another worker looks at it, for microseconds
            # Another worker's sweep may have taken the file for a dead one's in between.
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
            lock.close()

    def _path(self, worker_id: str) -> Path:
        return self._directory / f"{worker_id}.lock"

    def is_alive(self, worker_id: str) -> bool:
        """Whether the process that registered under this id still runs. Raises StoreUnavailable."""
        if worker_id == self.worker_id:
            return True
        try:
            return is_locked(self._path(worker_id))
        except OSError as error:
            raise StoreUnavailable(str(error)) from error

    def dead(self, worker_ids: Iterable[str]) -> set[str]:
        """Those of the workers that do not run any more. Raises StoreUnavailable."""
        return {worker_id for worker_id in worker_ids if not self.is_alive(worker_id)}

    def sweep(self) -> None:
        """Remove the files of dead workers. Raises StoreUnavailable."""
        for path in self._directory.glob("*.lock"):
            if not self.is_alive(path.stem):
                path_of(self._directory, path.stem).unlink(missing_ok=True)
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave. May be repeated."""
        if self._lock is not None:
            path_of(self._directory, self.worker_id).unlink(missing_ok=True)
            self._path(self.worker_id).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
