"""Snapshots of containers' disks: files with the same blocks, which are checked and then named.

A disk is a file without a name (`loop_device`), found again by what its device says. What is
written is flushed into it, the container is paused, the rest is flushed, and the file is copied: by
reference where the host's file system shares blocks. It is consistent as after a power cut
with everything flushed, and checked (e2fsck), which also forgets files that were deleted and
still open. Until it is whole it has no name, so that whoever is killed leaves nothing.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gevent.lock import BoundedSemaphore

from gateway import clock
from gateway.errors import HostToolFailed
from gateway.host.copy_check import CopyCheck
from gateway.host.detached_mounts import detached_ext4
from gateway.host.file_clones import Way, clone, way_on, write_out
from gateway.host.kernel_calls import in_thread
from gateway.host.layer_changes import Image, LayerChanges, changes_between
from gateway.host.layer_disks import LayerDisks, translated
from gateway.host.layer_index import NOTHING, Index, indexed
from gateway.host.loop_device import backing_file, device_over
from gateway.host.nameless_files import HeldFile, handle_of, nameless_file
from gateway.host.snapshot_disk import SnapshotDisk, owners_of
from gateway.host.snapshot_files import SnapshotFiles, keep, opened
from gateway.settings import MIB

AT_ONCE = 3
"""Snapshots and forks of one worker that are copied at a time. Each keeps one of the threads that
all calls into the kernel share, for as long as its disk takes to be flushed and copied."""

WALKS_AT_ONCE = 2
"""Through trees of tenants, likewise: they take processor time of the worker's."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class TakenSnapshot:
    """What was taken."""

    size_bytes: int
    """Of the disk that it is of, holes included."""
    used_bytes: int
    """Of the host's disk. Blocks that it shares with others count in full."""
    paused_s: float
    moment: float
    """Seconds since the epoch."""


class LayerSnapshots:
    """Takes them, beside the disks, and makes disks of them.

    Several gateways may keep theirs in the same directory: whoever names them takes care.
    `instance` is noted with each file, for people and for `scripts/lib/sweep.py`.
    """

    def __init__(self, disks: LayerDisks, instance: str = "") -> None:
        self._disks = disks
        self._instance = instance
        self._files = SnapshotFiles(disks.images)
        self._way: Way | None = None
        self._turns = BoundedSemaphore(AT_ONCE)
        self._walks = BoundedSemaphore(WALKS_AT_ONCE)

    def way(self) -> Way | None:
        """How files are copied here; None where sandboxes have no disks of their own, or a file
        without a name cannot be found again. Raises the engine's errors and HostToolFailed."""
        if self._disks.enforcement() != "loop":
            return None
        if self._way is None:
            try:
                self._way = in_thread(partial(_tried, self._disks.images()))
            except OSError as error:
                raise HostToolFailed(f"cannot try to copy files: {error}") from error
        return self._way

    def take(self, layer: str, name: str, paused: AbstractContextManager[object]) -> TakenSnapshot:
        """Take one of a container's disk. In `paused` nothing writes to it.

        Raises DiskFull, HostToolFailed, and what `paused` raises.
        """
        with self._turns:  # whoever waits for it is not paused yet
            return self._take(self._disks.live_layer(layer), self._files.place(name), paused)

    def _take(
        self, disk: Path, place: Path, paused: AbstractContextManager[object]
    ) -> TakenSnapshot:
        if place.exists():
            raise HostToolFailed(f"there is a snapshot {place.stem} already")
        source = self._file_of(disk)
        try:
            made = in_thread(partial(nameless_file, self._disks.images()))
            in_thread(partial(_flush, disk))
            if self.way() == "reflink":  # which needs it on the host's disk
                write_out(source)
                in_thread(partial(os.fdatasync, source.fd))
            with CopyCheck(made) as check:
                with paused:
                    began_s = time.monotonic()
                    in_thread(partial(_flush, disk))
                    moment = clock.wall_s()
                    clone(source, made)
                    check.begin()  # the engine takes 15 ms to let the container go on
                paused_s = time.monotonic() - began_s
                check.wait()
            in_thread(partial(keep, made, place, self._instance))
        except OSError as error:
            raise translated(error, source.size_bytes() // MIB) from error
        return TakenSnapshot(made.size_bytes(), made.used_bytes(), paused_s, moment)

    def preparation(
        self,
        name: str,
        disk_mb: int,
        uids: tuple[int, int] | None = None,
        check_room: Callable[[int], None] = lambda _bytes: None,
    ) -> SnapshotDisk:
        """For the start of a container with the files of a snapshot; `disk_mb` is no less than its
        disk had. `uids` are that of the sandbox which it was taken of, and that of the new one.
        `check_room` raises DiskFull where so many bytes may not be copied; those that are only
        referred to need no room yet."""
        find = partial(opened, self._files.place(name))

        def check(more_bytes: int) -> None:
            if self.way() == "copy":
                check_room(more_bytes)

        return SnapshotDisk(self._disks, find, disk_mb, uids, self._turns, check)

    def remove(self, name: str) -> None:
        """One that is not there is a success. Containers that have its files keep them. Raises
        HostToolFailed."""
        self._files.remove(name)

    def names(self) -> set[str]:
        """All there are. Raises the engine's errors and HostToolFailed."""
        return set(self.sizes())

    def sizes(self) -> dict[str, int]:
        """By name, what each takes of the host's disk; blocks that it shares with others count in
        full: so it is the most that removing it gives back. Raises the engine's errors and
        HostToolFailed."""
        return self._files.sizes() if self._disks.enforcement() == "loop" else {}

    def allocated_bytes(self) -> int:
        """What all take together, counted as in `sizes`."""
        return sum(self.sizes().values())

    def disk_bytes(self, layer: str) -> int:
        """What a container's disk takes of the host's, blocks that it shares counted in full.
        Raises HostToolFailed."""
        return self._file_of(self._disks.live_layer(layer)).used_bytes()

    def index(self, layer: str) -> Index:
        """What is in a container's layer now, with the owners that its disk has. Raises
        HostToolFailed."""
        place = self._disks.seen_layer(layer)
        try:
            with self._walks:
                return in_thread(partial(_indexed_layer, place))
        except OSError as error:
            raise HostToolFailed(f"cannot look at a disk: {error}") from error

    def changes(self, layer: str, since: str | None) -> LayerChanges:
        """In a container since a snapshot of it, or of what it was made from; None for its image.
        Raises HostToolFailed, also when the snapshot is gone."""
        before = NOTHING
        if since is not None:
            try:
                with self._walks:
                    before = in_thread(partial(_indexed_snapshot, self._files.place(since)))
            except OSError as error:
                raise HostToolFailed(f"cannot look at a snapshot: {error}") from error
        return self.changes_since(layer, before)

    def changes_since(self, layer: str, before: Index) -> LayerChanges:
        """The same since it was looked at by `index`. Raises HostToolFailed."""
        after = self.index(layer)
        path = self._disks.seen_layer(layer)
        try:
            image = Image(in_thread(partial(_lower_layers, path)))
            with self._walks:
                return in_thread(partial(changes_between, before, after, image))
        except OSError as error:
            raise HostToolFailed(f"cannot look at a disk: {error}") from error

    def _file_of(self, disk: Path) -> HeldFile:
        try:
            return in_thread(partial(backing_file, str(disk), self._disks.images()))
        except OSError as error:
            raise HostToolFailed(f"cannot find the file of a disk: {error}") from error


def _tried(directory: Path) -> Way | None:
    return way_on(directory) if handle_of(nameless_file(directory)) else None


def _flush(disk: Path) -> None:
    """Write all that is in memory to a disk: syncfs(2), which Python does not have."""
    directory = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(directory) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(disk))
    finally:
        os.close(directory)


def _indexed_layer(layer: Path) -> Index:
    owners = owners_of(layer)
    seen_as = {} if owners is None else {owners.seen: owners.on_disk, owners.on_disk: owners.seen}
    return indexed(str(layer / "diff"), seen_as)


def _indexed_snapshot(place: Path) -> Index:
    """It is mounted for a moment, for this process alone."""
    with device_over(opened(place), read_only=True) as device:
        mount = detached_ext4(device, read_only=True)
    found = indexed(f"{mount.path()}/diff")
    latest = max((entry.changed_ns for entry in found.entries.values()), default=0)
    return replace(found, began_ns=latest)


def _lower_layers(layer: Path) -> list[str]:
    """What overlay2 stacks below a layer, the topmost first."""
    names = (layer / "lower").read_text().split(":")
    return [os.path.realpath(layer.parent / name) for name in names]
