"""Files without names: made, reached again by their handles, given a name when they are whole.

A file handle (name_to_handle_at(2)) leads to a file for as long as there is somebody who has it
open, whoever that is. ext4, XFS and btrfs have them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

LONGEST_HANDLE = 48
"""Bytes. ext4 takes 16, XFS 20 and btrfs up to 48."""

_HEAD = struct.Struct("<Ii")
_AT_EMPTY_PATH = 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


class HeldFile:
    """An open file. It is closed when nobody has it any more: neither who gave up waiting for a
    thread, nor the thread."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def path(self) -> str:
        """By which programs of the host open it too, while this process has it open."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def size_bytes(self) -> int:
        """How long it is, holes included."""
        return os.fstat(self.fd).st_size

    def used_bytes(self) -> int:
        """What its blocks take, those that it shares with others counted in full."""
        return os.fstat(self.fd).st_blocks * 512

    def __del__(self) -> None:
        os.close(self.fd)


def nameless_file(directory: Path, size: int = 0) -> HeldFile:
    """A new one on the file system of `directory`, of `size` zero bytes. Raises OSError."""
    made = HeldFile(os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600))
    os.truncate(made.fd, size)
    return made


def give_name(file: HeldFile, path: Path) -> None:
    """In one step, and once what was written is on the host's disk. Raises OSError,
    FileExistsError when the name is taken."""
    os.fdatasync(file.fd)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # With plain numbers Python calls link(2), which does not follow the link in /proc.
        os.link(
            f"/proc/self/fd/{file.fd}",
            path.name,
            src_dir_fd=directory,
            dst_dir_fd=directory,
            follow_symlinks=True,
        )
        os.fsync(directory)
    finally:
        os.close(directory)


def handle_of(file: HeldFile) -> bytes:
    """By which `opened_by` finds it again; b"" where the file system has none that is short
    enough."""
    handle = ctypes.create_string_buffer(_HEAD.pack(LONGEST_HANDLE - _HEAD.size, 0), LONGEST_HANDLE)
    mount = ctypes.c_int()
    if _libc.name_to_handle_at(file.fd, b"", handle, ctypes.byref(mount), _AT_EMPTY_PATH) != 0:
        return b""
    return handle.raw[: _HEAD.size + _HEAD.unpack_from(handle)[0]]


def opened_by(handle: bytes, directory: Path) -> HeldFile:
    """The file of this handle on the file system of `directory`, to be read. Raises OSError,
    ESTALE when nobody had it any more."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = _libc.open_by_handle_at(place, handle, os.O_RDONLY | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
        return HeldFile(fd)
    finally:
        os.close(place)
