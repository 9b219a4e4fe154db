"""File systems that are mounted, and nowhere attached: fsopen(2), fsmount(2), move_mount(2).

Such a mount is reached by its descriptor only, and goes with it: whoever is killed meanwhile leaves
nothing. What a disk needs before a container may have it is done there, and then it is put in its
place in one step.
"""

from __future__ import annotations

import ctypes
import os
import struct

from gateway.host.nameless_files import HeldFile

# The numbers are the same on all architectures: these calls are younger than that agreement.
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 429, 430, 431, 432, 442

_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_NOSUID_NODEV_NOATIME = 2 | 4 | 0x10
_MOVE_FROM_DESCRIPTOR = 4
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_IDMAP = 0x100000

_OPTIONS = (b"noinit_itable", b"nobarrier")
"""As in `loop_device.mount_ext4`."""

_libc = ctypes.CDLL(None, use_errno=True)


def detached_ext4(device: str, *, read_only: bool = False) -> HeldFile:
    """Its root directory; the mount and its hold on the device go with that. Raises OSError.

    Blocks: for use in a thread.
    """
    system = _call(_FSOPEN, b"ext4", _CLOEXEC)
    try:
        _call(_FSCONFIG, system, _SET_STRING, b"source", device.encode(), 0)
        for option in (*_OPTIONS, *((b"ro",) if read_only else ())):
            _call(_FSCONFIG, system, _SET_FLAG, option, None, 0)
        _call(_FSCONFIG, system, _SET_STRING, b"errors", b"continue", 0)
        _call(_FSCONFIG, system, _CREATE, None, None, 0)
        return HeldFile(_call(_FSMOUNT, system, _CLOEXEC, _NOSUID_NODEV_NOATIME))
    finally:
        os.close(system)


def attach(mount: HeldFile, target: str) -> None:
    """Put it over a directory. Raises OSError."""
    _call(_MOVE_MOUNT, mount.fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_FROM_DESCRIPTOR)


def map_owners(mount: HeldFile, user_namespace: HeldFile) -> None:
    """Let owners be others than those on the disk, as this namespace maps them (Linux 5.12, and
    5.19 below overlayfs). Before it is attached. Raises OSError."""
    attributes = struct.pack("<4Q", _IDMAP, 0, 0, user_namespace.fd)
    _call(_MOUNT_SETATTR, mount.fd, b"", _AT_EMPTY_PATH, attributes, len(attributes))


def _call(number: int, *arguments: bytes | int | None) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())} (call {number})")
    return result
