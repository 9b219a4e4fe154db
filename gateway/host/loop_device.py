"""Loop devices over files that have no name, and mounts: loop(4), mount(2).

Nothing of it outlives its holder. The file was never in a directory, the device is released with
its last user (`LO_FLAGS_AUTOCLEAR`, set in the same call that binds the file), and then the file's
blocks are free. Whoever is killed at any point leaves nothing but what is mounted.

These calls block for milliseconds: a gevent worker makes them in a thread.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.host.nameless_files import (
    LONGEST_HANDLE,
    HeldFile,
    handle_of,
    nameless_file,
    opened_by,
)

_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
"""Linux 5.8. Before, binding and AUTOCLEAR were two calls, and a kill in between left a device."""

_GET_STATUS = 0x4C05

_INFO_BYTES, _NAME_AT = 232, 56
"""Of `struct loop_info64`, and where a name has its place in it: 64 bytes, for people."""

_READ_ONLY, _AUTOCLEAR = 1, 4
_TRIES = 20

_CHUNK = 1024 * 1024

_FITRIM = 0xC0185879

_MS_NOSUID, _MS_NODEV, _MS_NOATIME = 2, 4, 1024
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def loop_device(directory: Path, size: int) -> Iterator[str]:
    """The path of a device with `size` zero bytes, whose blocks are taken from the file system of
    `directory` when they are written. It lives as long as this, or as it is mounted.

    Raises OSError.
    """
    with device_over(nameless_file(directory, size)) as device:
        yield device


@contextmanager
def device_over(file: HeldFile, *, read_only: bool = False) -> Iterator[str]:
    """The path of a device over a file. Raises OSError."""
    device = _bind(file, _READ_ONLY if read_only else 0)
    try:
        yield os.readlink(f"/proc/self/fd/{device}")
    finally:
        os.close(device)


def backing_file(mount: str, directory: Path) -> HeldFile:
    """The file behind what is mounted, to be read, found on the file system of `directory`.

    Its handle is kept in the device, in place of a file's name: so whoever sees the mount finds it,
    and it is forgotten when the device is. Raises OSError.
    """
    number = os.stat(mount).st_dev
    name = Path(os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")).name
    device = os.open(f"/dev/{name}", os.O_RDONLY)
    try:
        status = fcntl.ioctl(device, _GET_STATUS, bytes(_INFO_BYTES))
    finally:
        os.close(device)
    handle = status[_NAME_AT : _NAME_AT + LONGEST_HANDLE]
    if not any(handle):
        raise OSError(errno.ESTALE, "its file cannot be found again", mount)
    file = opened_by(handle, directory)
    if os.fstat(file.fd).st_ino != struct.unpack_from("<2Q", status)[1]:
        raise OSError(errno.ESTALE, "its file is another one", mount)
    return file


def _bind(file: HeldFile, flags: int) -> int:
    """A descriptor of the device."""
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR)
            try:
                fcntl.ioctl(device, _CONFIGURE, _configuration(file, flags))
                return device
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no loop device stays free long enough")


def _configuration(file: HeldFile, flags: int) -> bytes:
    """`struct loop_config` of linux/loop.h."""
    info = struct.pack("<5Q4I", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR | flags)
    info = (info + handle_of(file)).ljust(_INFO_BYTES, b"\0")
    return struct.pack("<2I", file.fd, 0) + info + bytes(64)


def copy_data(image: int, device: str) -> None:
    """Copy what is not a hole in the file `image` to a device of zeros. Raises OSError."""
    # Whoever waits may give up, and close the image.
    with open(os.dup(image), "rb") as source, open(device, "r+b", buffering=0) as target:
        end = 0
        while True:
            try:
                start = os.lseek(source.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole comes
                    return
                raise
            end = os.lseek(source.fileno(), start, os.SEEK_HOLE)
            while start < end:
                data = os.pread(source.fileno(), min(end - start, _CHUNK), start)
                start += os.pwrite(target.fileno(), data, start)


def mount_ext4(device: str, target: str) -> None:
    """Raises OSError."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOATIME
    # Nobody needs the unused inode tables written out. Not `discard`: without a journal each freed
    # block waits for the host, and deleting 20,000 files took 44 s in the place of 4; see `trim`.
    # And no flush of the host's disk for each fsync(2): nothing here outlives a crash of the host.
    # What the kernel finds wrong it says to who reads it: no file system here stops the host, or
    # the sandbox, whatever it or mke2fs.conf says.
    options = b"noinit_itable,nobarrier,errors=continue"
    if _libc.mount(device.encode(), target.encode(), b"ext4", flags, options) != 0:
        raise _last_error(target)


def unmount(target: str) -> None:
    """At once, also when it is in use; what was not mounted is a success. Raises OSError."""
    if _libc.umount2(target.encode(), _MNT_DETACH) != 0:
        error = _last_error(target)
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise error


def trim(mount: str) -> None:
    """Give the host back what has been deleted on a mounted file system (FITRIM, fstrim(8)). Costs
    0.2 s for 8 GiB, and next to nothing where little has changed. What is not mounted (any more) is
    left alone: that would be the host's own disk. Raises OSError."""
    directory = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.stat("..", dir_fd=directory).st_dev == os.fstat(directory).st_dev:
            return
        fcntl.ioctl(directory, _FITRIM, struct.pack("<3Q", 0, 2**64 - 1, 0))
    finally:
        os.close(directory)


def mounted_from(directory: Path) -> list[str]:
    """Where devices over files of `directory` are mounted."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        source = fields[fields.index("-") + 2]
        if source.startswith("/dev/loop") and _backing_file(source).startswith(f"{directory}/"):
            found.append(fields[4])
    return found


def _backing_file(device: str) -> str:
    try:
        return Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text()
    except OSError:
        return ""  # it has just been released


def _last_error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
