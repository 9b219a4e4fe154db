"""A disk of its own for what a container writes, bounded in bytes and in files.

overlay2 keeps a container's writable layer in one directory of the engine's. Between creation and
start, a small ext4 file system is mounted over that directory, with the same content. So the whole
root file system stays writable as before, nothing is mounted inside the sandbox, and whatever it
writes, wherever, ends with ENOSPC at its limit. The engine unmounts whatever is mounted there when
it removes the container (moby, `EnsureRemoveAll`), and that frees everything.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from gevent.lock import BoundedSemaphore

from gateway.errors import DiskFull, HostToolFailed
from gateway.host import programs, spare_room
from gateway.host.disk_rules import inodes_for
from gateway.host.kernel_calls import in_thread
from gateway.host.loop_device import (
    copy_data,
    loop_device,
    mount_ext4,
    mounted_from,
    trim,
    unmount,
)
from gateway.settings import MIB

log = logging.getLogger(__name__)

Enforcement = Literal["loop", "watchdog"]

_LAYER = re.compile(r"[0-9a-f]{64}")

_PROBE_MB = 16

# No journal: it would take 64 MiB of real blocks, and nothing here outlives a crash anyway.
_FEATURES = "^has_journal,^resize_inode"


class Container(Protocol):
    """What is asked of the engine's description of a container."""

    @property
    def layer(self) -> str | None: ...

    @property
    def pid(self) -> int | None: ...


class LayerDisks:
    """Makes them, where this process may.

    `data_root` asks the engine for its directory on this host; "" where that is none of this
    host's. `directory` takes the images; "" is a place in the engine's directory.
    """

    def __init__(self, data_root: Callable[[], str], directory: str = "") -> None:
        self._ask_data_root = data_root
        self._directory = directory
        self._root: Path | None = None
        self._hindrance: str | None = None
        self._decided = False
        self._deciding = BoundedSemaphore()

    def enforcement(self) -> Enforcement:
        """How limits are enforced: `loop` by such disks; `watchdog`: not by the kernel, somebody
        has to look. Tried for real at the first call. Raises the engine's errors, and
        HostToolFailed where the kernel takes too long."""
        if not self._decided:
            with self._deciding:
                self._decide()
        return "loop" if self._hindrance is None else "watchdog"

    def _decide(self) -> None:
        if self._decided:
            return  # by whom this one has waited for
        self._hindrance = self._find_hindrance()
        self._decided = True
        if self._hindrance is not None:
            log.warning("disk limits: %s", self._hindrance)

    def check(self) -> tuple[bool, str]:
        """Whether the kernel enforces limits, and how or why not. Raises the engine's errors."""
        if self.enforcement() == "loop":
            return True, "a file system of its own for each sandbox, limited in bytes and files"
        return False, f"limits are watched, not enforced: {self._hindrance}"

    def _find_hindrance(self) -> str | None:
        if not programs.is_root():
            return "only root mounts file systems"
        root = self._ask_data_root()
        if not root:
            return "the engine is on another host"
        self._root = Path(root)
        if not (self._root / "overlay2").is_dir():
            return f"no overlay2 in {root}"
        try:
            directory = self._images()
            with _device(directory, _PROBE_MB * MIB) as device:
                _make_file_system(device, directory / "empty", _PROBE_MB)
                # In a namespace of its own, that ends with the program.
                programs.run(["unshare", "--mount", "mount", device, str(directory)])
        except (TimeoutError, programs.TookTooLong) as error:  # that may pass: nothing is decided
            raise HostToolFailed(f"cannot try file systems in files: {error}") from error
        except (OSError, HostToolFailed) as error:
            return f"no file systems in files: {error}"
        return None

    def images(self) -> Path:
        """The directory for disks' images. Raises HostToolFailed where there are no such disks."""
        if self.enforcement() != "loop":
            raise HostToolFailed(f"there are no disks of sandboxes' own: {self._hindrance}")
        return self._images()

    def _images(self) -> Path:
        """Images of sandboxes have no names: of them only an empty directory is in it."""
        assert self._root is not None
        directory = Path(self._directory or self._root / "sandbox-gateway")
        (directory / "empty").mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        return directory

    def seen_layer(self, layer: str | None) -> Path:
        """`checked`, also by a process that has made no disk yet."""
        self.enforcement()
        return self.checked(layer)

    def live_layer(self, layer: str | None) -> Path:
        """A layer that has a disk of its own. Raises HostToolFailed and the engine's errors."""
        path = self.seen_layer(layer)
        if not path.is_mount():
            raise HostToolFailed(f"not a disk of its own: {layer}")
        return path

    def sees_layers(self) -> bool:
        """Whether this process may look into what containers write. Raises the engine's errors."""
        self.enforcement()
        return self._root is not None

    def places(self) -> list[Path]:
        """Directories whose file systems fill up when sandboxes write. Raises the engine's
        errors."""
        found = [self._root or Path(self._ask_data_root() or "/nowhere")]
        if self.enforcement() == "loop":
            found.append(self._images())
        return found

    def preparation(self, disk_mb: int | None) -> LayerDisk | None:
        """For the start of a container that may write `disk_mb`; None where there is no limit,
        or it cannot be enforced this way. Raises the engine's errors."""
        if disk_mb is None or self.enforcement() != "loop":
            return None
        return LayerDisk(self, disk_mb)

    def give_disk(self, layer: str | None, disk_mb: int) -> None:
        """Mount a disk over a layer that is not in use. Raises DiskFull and HostToolFailed."""
        path = self.checked(layer)
        before = path.stat()
        try:
            # The device is this context's until it is mounted.
            with _device(self._images(), disk_mb * MIB) as device:
                _make_file_system(device, path, disk_mb)
                in_thread(partial(mount_ext4, device, str(path)))
            in_thread(partial(spare_room.keep, path))
            os.chown(path, before.st_uid, before.st_gid)
            path.chmod(before.st_mode & 0o7777)
        except OSError as error:
            raise translated(error, disk_mb) from error

    def confirm(self, container: Container) -> None:
        """Raises HostToolFailed unless the started container writes to its disk: an engine in
        another mount namespace never saw it. Then there are no more such disks. One that has ended
        meanwhile, which a client may have had removed, says nothing about the engine."""
        path = self.checked(container.layer)
        if not _is_in_use(path):
            if not _runs(container.pid):
                raise HostToolFailed("the container ended as soon as it was started")
            self._hindrance = "the engine does not see this process's mounts"
            log.error("disk limits: %s", self._hindrance)
            raise HostToolFailed(f"the disk of a sandbox is not used: {self._hindrance}")

    def give_back(self, layer: str) -> None:
        """Let the host have the space of what was deleted on a disk. Raises OSError."""
        in_thread(partial(trim, layer))

    def checked(self, layer: str | None) -> Path:
        """Only ever a directory where overlay2 keeps layers, whatever the engine says. Raises
        HostToolFailed."""
        path = Path(layer or "")
        if self._root is None or path.parent != self._root / "overlay2":
            raise HostToolFailed(f"not a layer of the engine's: {layer}")
        if not _LAYER.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            raise HostToolFailed(f"not a layer of the engine's: {layer}")
        return path

    def sweep(self, live_layers: Callable[[], set[str]]) -> None:
        """Unmount disks that belong to no container any more, should an engine ever leave one.

        `live_layers` are those of all containers there are, and are asked for after the mounts
        were read: so a disk that is just being made is not taken for a stray one.
        Raises what it does, and HostToolFailed.
        """
        if self.enforcement() != "loop":
            return
        idle = [m for m in mounted_from(self._images()) if not _is_in_use(Path(m))]
        if not idle:
            return
        live = live_layers()
        for stray in [mount for mount in idle if mount not in live]:
            log.warning("unmounting the disk of a container that is gone: %s", stray)
            try:
                in_thread(partial(unmount, stray))
            except OSError as error:
                raise HostToolFailed(str(error)) from error


class LayerDisk:
    """The disk of one container: `gateway.engine.interface.Preparation`."""

    def __init__(self, disks: LayerDisks, disk_mb: int) -> None:
        self._disks = disks
        self._disk_mb = disk_mb

    def before_start(self, container: Container) -> None:
        self._disks.give_disk(container.layer, self._disk_mb)

    def after_start(self, container: Container) -> None:
        self._disks.confirm(container)


class KeptDisk:
    """The disk that a container has already: `gateway.engine.interface.Preparation`."""

    def __init__(self, disks: LayerDisks) -> None:
        self._disks = disks

    def before_start(self, container: Container) -> None:
        """Raises HostToolFailed when it has none."""
        self._disks.live_layer(container.layer)

    def after_start(self, container: Container) -> None:
        self._disks.confirm(container)


@contextmanager
def _device(directory: Path, size: int) -> Iterator[str]:
    """`loop_device`, off gevent's hub: beside two others who did the same, binding one took 0.65 s
    at the longest."""
    making = loop_device(directory, size)

    def release(_device: str = "") -> None:
        making.__exit__(None, None, None)

    device = in_thread(making.__enter__, release)
    try:
        yield device
    finally:
        in_thread(release, even_late=True)


def _make_file_system(device: str, content: Path, disk_mb: int) -> None:
    """Takes 10 ms, whatever the size: tables of inodes are not written out.

    It is made in memory and copied: mkfs.ext4 has what it writes flushed, four times, and beside
    others who write to the host's disk that took up to half a minute.
    """
    image = os.memfd_create("file system")
    try:
        os.truncate(image, disk_mb * MIB)
        in_memory = f"/proc/{os.getpid()}/fd/{image}"
        programs.run(
            [
                *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-N", str(inodes_for(disk_mb))),
                *("-O", _FEATURES, "-E", "lazy_itable_init=1,nodiscard", "-d", str(content)),
                in_memory,
            ]
        )
        in_thread(partial(copy_data, image, device))
    finally:
        os.close(image)


def _runs(pid: int | None) -> bool:
    """Whether there is this process, and not only what is left of it until it is waited for."""
    try:
        return bool(pid) and bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def _is_in_use(layer: Path) -> bool:
    """Whether a container's root file system is mounted from this layer, as this process sees."""
    try:
        merged = (layer / "merged").stat()
        return merged.st_dev != layer.stat().st_dev
    except OSError:
        return False


def translated(error: OSError, disk_mb: int) -> DiskFull | HostToolFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space for a disk of {disk_mb} MiB")
    return HostToolFailed(f"cannot make a disk of {disk_mb} MiB: {error}")
