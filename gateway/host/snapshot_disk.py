"""A container's disk with the files of a snapshot.

All is made ready in a mount that is nowhere attached. So whoever is killed leaves the container
without it, or with its old disk, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from gateway.errors import HostToolFailed
from gateway.host import programs
from gateway.host.detached_mounts import attach, detached_ext4, map_owners
from gateway.host.file_clones import clone
from gateway.host.kernel_calls import in_thread
from gateway.host.layer_disks import Container, LayerDisks, translated
from gateway.host.layer_users import LONGEST_USERS_FILE, USERS_FILE, with_uid
from gateway.host.loop_device import device_over, unmount
from gateway.host.nameless_files import HeldFile, nameless_file
from gateway.host.owner_maps import namespace_swapping
from gateway.settings import MIB

_OF_ITS_OWN = ("link", "lower")
"""What overlay2 notes of a container beside its files."""

_OWNERS = "owners"
"""Beside them: the uid that files on the disk have, and the one that they stand for."""


@dataclass(frozen=True)
class Owners:
    """Of a disk: the uid on it, and the one that its container sees in its place."""

    on_disk: int
    seen: int


class SnapshotDisk:
    """The disk of one container: `gateway.engine.interface.Preparation`. `uids` are that of the
    sandbox which the snapshot was taken of, and that of the new one; None leaves all as it is.
    `turns` bounds how many are copied at a time."""

    def __init__(
        self,
        disks: LayerDisks,
        open_snapshot: Callable[[], HeldFile],
        disk_mb: int,
        uids: tuple[int, int] | None,
        turns: AbstractContextManager[object],
    ) -> None:
        self._disks = disks
        self._open_snapshot = open_snapshot
        self._disk_mb = disk_mb
        self._uids = uids
        self._turns = turns

    def before_start(self, container: Container) -> None:
        """Also of one that has run, and has a disk, which it loses. Raises DiskFull and
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
            in_thread(partial(_exchange, mount, layer))
        except OSError as error:
            raise translated(error, self._disk_mb) from error
        if not is_mapped and self._uids is not None:
            before = found.on_disk if found is not None else self._uids[0]
            _give_away(layer, before, self._uids[1])

    def after_start(self, container: Container) -> None:
        self._disks.confirm(container.layer)

    def _copy(self) -> HeldFile:
        source = in_thread(self._open_snapshot)
        wanted, size = self._disk_mb * MIB, source.size_bytes()
        if wanted < size:
            raise HostToolFailed(f"a snapshot of {size // MIB} MiB for {self._disk_mb} MiB")
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
        on_disk, seen = map(int, (disk / _OWNERS).read_text().split())
    except FileNotFoundError:
        return None
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
    for name in _OF_ITS_OWN:
        kept = layer / name
        (root / name).unlink(missing_ok=True)
        if kept.exists():  # the bottom of a stack has no `lower`
            shutil.copy2(kept, root / name)
    for left in (root / "work").iterdir():
        shutil.rmtree(left)
    with contextlib.suppress(FileNotFoundError):
        (root / "merged").rmdir()
    (root / _OWNERS).unlink(missing_ok=True)
    if owners.on_disk != owners.seen:
        (root / _OWNERS).write_text(f"{owners.on_disk} {owners.seen}\n")
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


def _give_away(layer: Path, before: int, after: int) -> None:
    """Let what belonged to one uid on the disk belong to another: what a kernel costs that does not
    map owners. Change times are new then, and files lose setuid bits and capabilities."""
    programs.run(["chown", "-hR", f"--from={before}", str(after), f"{layer}/diff"])
