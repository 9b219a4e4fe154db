"""Which of the things that a worker holds are in use now: a byte each, in a file that all read.

A write into the store at every beginning and end would take a thousand times as long. Like
`gateway.process.worker_locks`, this holds on one host.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Collection
from pathlib import Path

from gateway.errors import StoreUnavailable

SLOTS = 4096


class Mark:
    """Of one thing, whose name tells others the slot."""

    def __init__(self, marks: UseMarks, slot: int | None) -> None:
        self._marks = marks
        self.slot = slot

    def set(self, *, in_use: bool) -> None:
        """Whether the thing is in use from now on."""
        if self.slot is not None:
            self._marks.write(self.slot, in_use)

    def give_back(self) -> None:
        """The thing is no more. May be repeated."""
        slot, self.slot = self.slot, None
        if slot is not None:
            self._marks.write(slot, 0)
            self._marks.give_back(slot)


class UseMarks:
    """This worker's marks, which it alone writes, and a look at those of others. Whoever removes
    the file of a dead worker's lock removes its marks (`WorkerRegistry`). Raises StoreUnavailable.
    """

    def __init__(self, directory: Path, worker_id: str) -> None:
        self._directory = directory
        self._free = deque(range(SLOTS))
        """The one that was free for longest comes first: a reader may know it from before."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            file = os.open(path_of(directory, worker_id), flags, 0o600)
            try:
                os.write(
                    file, bytes(SLOTS)
                )  # a full disk must be an error here, and no signal later
                self._bytes: mmap.mmap | None = mmap.mmap(file, SLOTS)
            finally:
                os.close(file)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error

    def take(self) -> Mark:
        """One for a thing that is in use; without a slot when there is none left."""
        mark = Mark(self, self._free.popleft() if self._free else None)
        mark.set(in_use=True)
        return mark

    def write(self, slot: int, value: int) -> None:
        """Called by marks."""
        if self._bytes is not None:
            self._bytes[slot] = value

    def give_back(self, slot: int) -> None:
        """Called by marks."""
        self._free.append(slot)

    def in_use(self, worker_id: str, slots: Collection[int]) -> set[int]:
        """Those of a worker's slots that are marked; all, when that cannot be known."""
        try:
            marks = path_of(self._directory, worker_id).read_bytes()
        except OSError:
            return set(slots)
        return {slot for slot in slots if slot >= len(marks) or marks[slot]}

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        if self._bytes is not None:
            self._bytes.close()
            self._bytes = None


def path_of(directory: Path, worker_id: str) -> Path:
    """Where a worker's marks are."""
    return directory / f"{worker_id}.uses"
