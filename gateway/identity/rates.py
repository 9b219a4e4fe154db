"""How many requests per second a key may make, over all workers of the gateway.

A file per key holds one number: when the next request would be due if they came evenly (GCRA, the
token bucket without a bucket). The file is locked for the microseconds that reading and writing
take; a row in the store would cost a transaction.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from pathlib import Path

from gateway import clock

log = logging.getLogger(__name__)

_DUE = struct.Struct("d")

ATTEMPTS = 200


class RateLimits:
    """Counts requests by name. Names must be safe as names of files, as those of keys are.

    Exact over all workers of one host. A request is let through uncounted where the file cannot be
    used: when a worker was stopped (SIGSTOP, a debugger) within its microseconds, or on a full
    disk. To stand still for that would be worse.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, int] = {}

    def take(self, name: str, per_s: float, *, now: float | None = None) -> float:
        """Count a request; 0.0, or the seconds to wait if it is one too many (not counted then).

        At most a second's worth, and at least one, may come at once. `now` is boot time.
        """
        now = clock.boot_s() if now is None else now
        try:
            file = self._file(name)
            if not _lock(file):
                return 0.0
            try:
                return _take(file, per_s, now)
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        except OSError as error:
            log.warning("requests of %s cannot be counted: %s", name, error.strerror)
            return 0.0

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._files[name] = os.open(self._directory / name, flags, 0o600)
        return self._files[name]

    def close(self) -> None:
        """Close the files. May be repeated."""
        while self._files:
            os.close(self._files.popitem()[1])


def _lock(file: int) -> bool:
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            os.sched_yield()
    return False


def _take(file: int, per_s: float, now: float) -> float:
    each_s = 1.0 / per_s
    ahead_s = max(1.0, each_s)  # a second's worth at once, at least one request
    raw = os.pread(file, _DUE.size, 0)
    due = _DUE.unpack(raw)[0] if len(raw) == _DUE.size else 0.0
    # What lies further ahead was written before the machine, and boot time, began anew.
    due = (due if now <= due < now + ahead_s + each_s else now) + each_s
    wait_s = due - now - ahead_s
    if wait_s > 1e-9:
        return float(wait_s)
    os.pwrite(file, _DUE.pack(due), 0)
    return 0.0
