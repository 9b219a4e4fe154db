"""Which gateway processes are alive: each holds a lock on a file of its own (flock(2)).

The kernel drops the lock with the process, however it ends, so there is no time-out to wait for
and no clock to trust. This holds on one host; several hosts will need heartbeats in the database.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from gateway.errors import StoreUnavailable


class WorkerRegistry:
    """This process's own entry, and what can be said about the others."""

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
            lock = path.open("wb")
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another worker's sweep may have taken the file for a dead one's in between.
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
            lock.close()

    def _path(self, worker_id: str) -> Path:
        return self._directory / f"{worker_id}.lock"

    def is_alive(self, worker_id: str) -> bool:
        """Whether the process that registered under this id still runs."""
        if worker_id == self.worker_id:
            return True
        try:
            with self._path(worker_id).open("rb") as other:
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def dead(self, worker_ids: Iterable[str]) -> set[str]:
        """Those of the workers that do not run any more."""
        return {worker_id for worker_id in worker_ids if not self.is_alive(worker_id)}

    def sweep(self) -> None:
        """Remove the files of dead workers."""
        for path in self._directory.glob("*.lock"):
            if not self.is_alive(path.stem):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave. May be repeated."""
        if self._lock is not None:
            self._path(self.worker_id).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


class Leadership:
    """The right to do the housekeeping: one process at a time, until it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Try to become (or stay) the one. Never blocks."""
        if self._lock is not None:
            return True
        try:
            lock = self._path.open("wb")
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def close(self) -> None:
        """Give it up. May be repeated."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
