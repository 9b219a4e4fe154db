"""How many requests per second a key may make, over all workers of the gateway.

Of each key one number is kept: when the next request would be due if they came evenly (GCRA, the
token bucket without a bucket). It is the name of a file, alone in a directory of the key's, and
counting a request renames it. Of several that rename the same name one succeeds (rename(2)), so
that is a compare-and-swap: nobody holds anything that others wait for, however long the system
lets him wait in the middle. A row in the store would cost a transaction.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from gateway import clock

log = logging.getLogger(__name__)

_ATTEMPTS = 1000
"""A bound for what cannot be: each one that fails means that another request was let through."""

_NEVER = "0.0"


class RateLimits:
    """Counts requests by name. Names must be safe as names of files, as those of keys are.

    Exact over all workers of one host. Where the directory cannot be used (a full disk), each
    worker counts for itself.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: dict[str, int] = {}
        self._due: dict[str, str] = {}
        """As this worker has last seen it; it may be out of date."""

    def take(self, name: str, per_s: float, *, now: float | None = None) -> float:
        """Count a request; 0.0, or the seconds to wait if it is one too many (not counted then).

        At most a second's worth, and at least one, may come at once. `now` is boot time.
        """
        try:
            return self._take(name, per_s, now)
        except OSError as error:
            log.warning("requests of %s are counted per worker: %s", name, error.strerror)
        due, wait_s = _counted(float(self._due.get(name, _NEVER)), per_s, now)
        self._due[name] = repr(due)
        return wait_s

    def _take(self, name: str, per_s: float, now: float | None) -> float:
        directory = self._opened.get(name)
        if directory is None:
            directory = self._opened[name] = self._open(name)
        # Mostly nobody else was here since, and one call does.
        before = self._due.get(name, _NEVER)
        for _ in range(_ATTEMPTS):
            due, wait_s = _counted(float(before), per_s, now)
            if wait_s == 0.0 and _swap(directory, before, repr(due)):
                self._due[name] = repr(due)
                return 0.0
            found = os.listdir(directory)
            if not found:  # somebody has removed it
                os.close(self._opened.pop(name))
                directory = self._opened[name] = self._open(name)
            elif wait_s > 0.0 and found == [before]:
                self._due[name] = before
                return wait_s
            else:
                before = found[0]
        raise OSError(0, f"another was first {_ATTEMPTS} times")

    def _open(self, name: str) -> int:
        path = self._directory / name
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _has_entry(path):
            # It appears with its file inside, or not at all: two would be two counts.
            made = Path(tempfile.mkdtemp(dir=self._directory, prefix=".new-"))
            (made / _NEVER).touch(mode=0o600)
            try:
                made.rename(path)
            except OSError:
                (made / _NEVER).unlink()
                made.rmdir()
                if not _has_entry(path):  # another worker's is as good
                    raise
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the directories. May be repeated."""
        while self._opened:
            os.close(self._opened.popitem()[1])


def _has_entry(path: Path) -> bool:
    try:
        return bool(os.listdir(path))
    except FileNotFoundError:
        return False


def _swap(directory: int, before: str, after: str) -> bool:
    try:
        os.rename(before, after, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def _counted(due: float, per_s: float, now: float | None) -> tuple[float, float]:
    """When the next request is due, with this one; and how long this one has to wait, if it is one
    too many: then nothing has changed.

    The clock is read after `due` was, or what others have counted since would seem to lie too far
    ahead.
    """
    now = clock.boot_s() if now is None else now
    each_s = 1.0 / per_s
    ahead_s = max(1.0, each_s)  # a second's worth at once, at least one request
    # What lies further ahead was written before the machine, and boot time, began anew.
    due_then = (due if now <= due < now + ahead_s + each_s else now) + each_s
    wait_s = due_then - now - ahead_s
    if wait_s > 1e-9:
        return due, wait_s
    return due_then, 0.0
