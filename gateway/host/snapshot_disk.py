"""A container's disk with the files of a snapshot.

All is made ready in a mount that is nowhere attached. So whoever is killed leaves the container
without it, or with its old disk, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gateway.errors import HostToolFailed, SnapshotNotFound, SnapshotTooLarge
from gateway.host import programs, spare_room
from gateway.host.detached_mounts import attach, detached_ext4, map_owners
from gateway.host.ext4_sizes import file_system_bytes
from gateway.host.file_clones import clone
from gateway.host.kernel_calls import in_thread
from gateway.host.layer_disks import Container, LayerDisks, translated
from gateway.host.layer_users import LONGEST_USERS_FILE, USERS_FILE, with_uid
from gateway.host.loop_device import device_over, unmount
from gateway.host.nameless_files import HeldFile, nameless_file
from gateway.host.owner_maps import namespace_swapping
from gateway.settings import MIB

log = logging.getLogger(__name__)

_OF_ITS_OWN = ("link", "lower")
"""What overlay2 notes of a container beside its files."""

_OWNERS = "trusted.sandbox-gateway.owners"
"""Attribute of its root, where no container sees it: the uid that files on the disk have, and the
one that they stand for. It has its place in the inode: on a full disk there is none for a file."""


@dataclass(frozen=True)
class Owners:
    """Of a disk: the uid on it, and the one that its container sees in its place."""

    on_disk: int
    seen: int


class SnapshotDisk:
    """The disk of one container: `gateway.engine.interface.Preparation`. `uids` are that of the
    sandbox which the snapshot was taken of, and that of the new one; None leaves all as it is.
    `turns` bounds how many are copied at a time, and `check_room` how much: it raises DiskFull."""

    def __init__(
        self,
        disks: LayerDisks,
        open_snapshot: Callable[[], HeldFile],
        disk_mb: int,
        uids: tuple[int, int] | None,
        turns: AbstractContextManager[object],
        check_room: Callable[[int], None],
    ) -> None:
        self._disks = disks
        self._open_snapshot = open_snapshot
        self._disk_mb = disk_mb
        self._uids = uids
        self._turns = turns
        self._check_room = check_room
        self._ready: HeldFile | None = None
        self.in_place = False
        """Whether the container has it."""

    def make_ready(self, container: Container) -> None:
        """All that takes time, or can fail for what the snapshot is: nothing is changed yet of the
        container, which may run. Raises SnapshotNotFound, SnapshotTooLarge, DiskFull and
        HostToolFailed."""
        layer = self._disks.seen_layer(container.layer)
        try:
            with self._turns:
                file = self._copy()
            mount, found = in_thread(partial(_mounted, file))
            owners = self._owners_after(found)
            is_mapped = owners.on_disk == owners.seen or _map(mount, owners)
            if not is_mapped:
                owners = Owners(owners.seen, owners.seen)
            in_thread(partial(_fill, mount, layer, self._uids, owners))
        except OSError as error:
            raise translated(error, self._disk_mb) from error
        if not is_mapped and self._uids is not None:
            before = found.on_disk if found is not None else self._uids[0]
            _give_away(mount, before, self._uids[1])
        self._ready = mount

    def before_start(self, container: Container) -> None:
        """Also of one that has run, and has a disk, which it loses. Raises what `make_ready`
        does."""
        if self._ready is None:
            self.make_ready(container)
        assert self._ready is not None
        layer = self._disks.seen_layer(container.layer)
        try:
            in_thread(partial(_exchange, self._ready, layer))
        except OSError as error:
            raise translated(error, self._disk_mb) from error
        self._ready = None
        self.in_place = True

    def after_start(self, container: Container) -> None:
        self._disks.confirm(container)
        try:
            in_thread(partial(spare_room.keep, self._disks.seen_layer(container.layer)))
        except OSError as error:
            # The tenant has been quicker: this disk starts, and the next copy of it may not.
            log.info("a disk has no spare room: %s", error)

    def _copy(self) -> HeldFile:
        try:
            source = in_thread(self._open_snapshot)
        except FileNotFoundError as error:
            raise SnapshotNotFound("its file is gone from the host's disk") from error
        wanted, size = self._disk_mb * MIB, source.size_bytes()
        if wanted < size:
            raise SnapshotTooLarge(f"a snapshot of {size // MIB} MiB for {self._disk_mb} MiB")
        if in_thread(partial(file_system_bytes, source)) > size:
            raise HostToolFailed("a snapshot's file has become shorter")
        self._check_room(source.used_bytes())
        made = in_thread(partial(nameless_file, self._disks.images()))
        clone(source, made)
        if wanted > size:
            in_thread(partial(os.truncate, made.fd, wanted))
            programs.run(["resize2fs", "-f", made.path()])
        return made

    def _owners_after(self, found: Owners | None) -> Owners:
        if self._uids is None:
            return found or Owners(0, 0)
        before, seen = self._uids
        return Owners(before if found is None else found.on_disk, seen)


def _mounted(file: HeldFile) -> tuple[HeldFile, Owners | None]:
    """Runs in a thread, as all below. Nobody else sees that mount."""
    with device_over(file) as device:
        mount = detached_ext4(device)
    return mount, owners_of(Path(mount.path()))


def owners_of(disk: Path) -> Owners | None:
    """None where a container sees those that are on its disk. Raises OSError."""
    try:
        on_disk, seen = map(int, os.getxattr(disk, _OWNERS).split())
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise
    return Owners(on_disk, seen)


def _map(mount: HeldFile, owners: Owners) -> bool:
    """False where the kernel cannot."""
    if not _maps_owners():
        return False
    try:
        in_thread(partial(map_owners, mount, namespace_swapping((owners.on_disk, owners.seen))))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
            return False
        raise
    return True


def _maps_owners() -> bool:
    """Whether overlayfs takes such a mount: since Linux 5.19."""
    numbers = re.findall(r"\d+", os.uname().release)
    return tuple(map(int, numbers[:2])) >= (5, 19)


def _fill(mount: HeldFile, layer: Path, uids: tuple[int, int] | None, owners: Owners) -> None:
    """Make it the disk of this container: what overlay2 notes of it, nothing of the other's
    work, and the name of its user."""
    root = Path(mount.path())
    spare_room.give(root)
    for name in _OF_ITS_OWN:
        kept = layer / name
        (root / name).unlink(missing_ok=True)
        if kept.exists():  # the bottom of a stack has no `lower`
            shutil.copy2(kept, root / name)
    for left in (root / "work").iterdir():
        shutil.rmtree(left)
    with contextlib.suppress(FileNotFoundError):
        (root / "merged").rmdir()
    if owners.on_disk != owners.seen:
        os.setxattr(root, _OWNERS, b"%d %d" % (owners.on_disk, owners.seen))
    elif owners_of(root) is not None:
        os.removexattr(root, _OWNERS)
    if uids is not None and uids[0] != uids[1]:
        _rename_user(root, uids)


def _rename_user(root: Path, uids: tuple[int, int]) -> None:
    """In its /etc/passwd, which stays the same file with the same times. Tenants may have put
    anything in the place of it, or of a directory: no link is followed."""
    with (
        contextlib.ExitStack() as opened,
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
    ):
        place = None
        for part in (str(root / "diff"), *PurePosixPath(USERS_FILE).parts[:-1]):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            place = os.open(part, flags, dir_fd=place)
            opened.callback(os.close, place)
        name = PurePosixPath(USERS_FILE).name
        entry = os.stat(name, dir_fd=place, follow_symlinks=False)
        if not stat.S_ISREG(entry.st_mode) or entry.st_size > LONGEST_USERS_FILE:
            return
        file = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=place)
        opened.callback(os.close, file)
        before = os.pread(file, LONGEST_USERS_FILE, 0)
        after = with_uid(before, *uids)
        if after != before:
            os.pwrite(file, after, 0)
            os.truncate(file, len(after))
            os.utime(file, ns=(entry.st_atime_ns, entry.st_mtime_ns))


def _exchange(mount: HeldFile, layer: Path) -> None:
    """The new disk in the place of the old one, where there is one."""
    while layer.is_mount():
        unmount(str(layer))
    attach(mount, str(layer))


def _give_away(mount: HeldFile, before: int, after: int) -> None:
    """Let what belonged to one uid on the disk belong to another: what a kernel costs that does not
    map owners. Change times are new then, and files lose setuid bits and capabilities."""
    programs.run(["chown", "-hR", f"--from={before}", str(after), f"{mount.path()}/diff"])
