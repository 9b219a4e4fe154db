"""Where the numbers lie: files that each worker writes for itself and any worker reads.

They are prometheus_client's multiprocess files, mapped into memory, so that counting makes no
system call and what was counted survives a `kill -9`. The library would take their place from an
environment variable, once per process, and name them by pid; here

- they lie in a directory per run of the gateway, named by its master process: a new run begins
  at zero, whatever starts it, and removes what earlier ones left;
- they belong to numbered slots. A worker takes one by a lock that the kernel drops with the
  process (flock(2)), and goes on counting where the last one that had it was killed. So there are
  never more files than there were workers at a time, and none needs to be merged or cleaned up.
"""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path
from typing import IO

from prometheus_client.mmap_dict import MmapedDict

from gateway import clock
from gateway.errors import StoreUnavailable
from gateway.process.file_lock import is_locked, locked, try_lock

COUNTER, HISTOGRAM, LIVE_SUM = "counter", "histogram", "gauge_livesum"
"""Beginnings of file names, by which prometheus_client knows how to add numbers up."""

FILE_BYTES = 64 * 1024
"""Reserved on the disk for each file: writing a mapped page for which there is no room would kill
the worker (SIGBUS, mmap(2)). The numbers of one worker take a quarter of it."""


class KeptNumbers:
    """The numbers of one kind that this worker keeps, by key. For the hub's thread only."""

    def __init__(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size < FILE_BYTES:
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        self._numbers: MmapedDict | None = MmapedDict(str(path))

    def read(self, key: str) -> float:
        """0 for a new key, and after `close`."""
        if self._numbers is None:
            return 0.0
        value: float = self._numbers.read_value(key)[0]
        return value

    def write(self, key: str, value: float) -> None:
        """After `close` nothing is kept any more."""
        if self._numbers is not None:
            self._numbers.write_value(key, value, 0.0)

    def close(self) -> None:
        """May be repeated."""
        if self._numbers is not None:
            self._numbers.close()
            self._numbers = None


class MultiprocessSlot:
    """The files of this run of the gateway, below `directory`, and this worker's slot among them.

    Raises StoreUnavailable. Owns a lock and three open files.
    """

    def __init__(self, directory: Path) -> None:
        self._run = directory / _name_of_this_run()
        try:
            self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Else a worker could be about to take a slot in what another one removes.
            with locked(directory / "lock"):
                _remove_ended_runs(directory, keep=self._run)
                self._run.mkdir(exist_ok=True, mode=0o700)
                self.slot, self._lock = _free_slot(self._run)
            self.kept = {
                kind: KeptNumbers(self._run / f"{kind}_{self.slot}.db")
                for kind in (COUNTER, HISTOGRAM, LIVE_SUM)
            }
        except OSError as error:
            raise StoreUnavailable(f"metrics: {error}") from error

    def files(self) -> list[str]:
        """What is to be added up: the numbers of all workers there have been in this run, but of
        what is now only those of workers that are alive."""
        found = []
        for path in sorted(self._run.glob("*.db")):
            kind, _, slot = path.stem.rpartition("_")
            if path.stat().st_size and (kind != LIVE_SUM or _is_taken(self._run, slot)):
                found.append(str(path))
        return found

    def close(self) -> None:
        """Leave the slot to another worker. May be repeated."""
        for kept in self.kept.values():
            kept.close()
        self._lock.close()


def _name_of_this_run() -> str:
    """Names the master, which its workers have in common and which outlives them."""
    master = os.getppid() or os.getpid()
    try:
        stat = Path(f"/proc/{master}/stat").read_text()
        started = stat.rpartition(")")[2].split()[19]  # proc(5): starttime
    except OSError:
        started = "0"
    return f"{clock.boot_id()[:8]}-{master}-{started}"


def _remove_ended_runs(directory: Path, keep: Path) -> None:
    for run in directory.iterdir():
        if run.is_dir() and run != keep:
            slots = [lock.stem for lock in run.glob("*.lock")]
            if not any(_is_taken(run, slot) for slot in slots):
                shutil.rmtree(run, ignore_errors=True)


def _free_slot(run: Path) -> tuple[int, IO[bytes]]:
    for number in count():
        lock = try_lock(run / f"{number}.lock")
        if lock is not None:
            return number, lock
    raise AssertionError("there are numbers without end")


def _is_taken(run: Path, slot: str) -> bool:
    return is_locked(run / f"{slot}.lock")
