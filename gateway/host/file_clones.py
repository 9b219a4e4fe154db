"""Copies of large files with holes: by reference where the file system shares blocks, else by
copying what is not a hole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from functools import partial
from pathlib import Path
from typing import Literal

from gateway.host.kernel_calls import in_thread
from gateway.host.nameless_files import HeldFile, nameless_file

Way = Literal["reflink", "copy"]

_FICLONE = 0x40049409

_NOT_SHARED = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}

_SLICE_BYTES = 64 * 1024 * 1024
"""Copied, or written out, at a time: each is a call into the kernel with its limit of time."""

_TURN_S = 1.0
"""So long slices are written out in one call: most take no time, for nothing is in memory."""

_WRITE_AND_WAIT = 1 | 2 | 4
"""Of sync_file_range(2), which does not flush the file's size: `give_name` does."""

_libc = ctypes.CDLL(None, use_errno=True)


def way_on(directory: Path) -> Way:
    """How files are copied there, tried for real. Raises OSError."""
    source = nameless_file(directory, 4096)
    os.pwrite(source.fd, b"x", 0)
    return "reflink" if _share(source, nameless_file(directory)) else "copy"


def clone(source: HeldFile, target: HeldFile) -> None:
    """Make an empty file the same as another on its file system. Only the greenlet waits: a
    millisecond by reference, about a second for a gigabyte else. Raises OSError."""
    if in_thread(partial(_share, source, target)):
        return
    in_thread(partial(os.truncate, target.fd, source.size_bytes()))
    position: int | None = 0
    while position is not None:
        position = in_thread(partial(_copy_slice, source, target, position))


def write_out(file: HeldFile) -> None:
    """Have the host's disk take what is only in memory of a file, slice by slice: a sandbox of some
    gigabytes takes longer than one call into the kernel may. Raises OSError."""
    position: int | None = 0
    while position is not None:
        position = in_thread(partial(_write_out_some, file, position))


def _write_out_some(file: HeldFile, start: int) -> int | None:
    """Where to go on; None at the end."""
    until = time.monotonic() + _TURN_S
    for position in range(start, file.size_bytes(), _SLICE_BYTES):
        if time.monotonic() > until:
            return position
        arguments = (ctypes.c_int64(position), ctypes.c_int64(_SLICE_BYTES), _WRITE_AND_WAIT)
        if _libc.sync_file_range(file.fd, *arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return None


def _share(source: HeldFile, target: HeldFile) -> bool:
    """False where that is not to be had."""
    try:
        fcntl.ioctl(target.fd, _FICLONE, source.fd)
    except OSError as error:
        if error.errno in _NOT_SHARED:
            return False
        raise
    return True


def _copy_slice(source: HeldFile, target: HeldFile, start: int) -> int | None:
    """Where to go on; None at the end."""
    left = _SLICE_BYTES
    while left > 0:
        try:
            start = os.lseek(source.fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole comes
                return None
            raise
        end = os.lseek(source.fd, start, os.SEEK_HOLE)
        wanted = min(end - start, left)
        copied = os.copy_file_range(source.fd, target.fd, wanted, start, start)
        if copied == 0:  # it has become shorter
            return None
        start += copied
        left -= copied
    return start
