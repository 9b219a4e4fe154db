"""inotify(7), by ctypes: the standard library has nothing for it."""

import ctypes
import os
import struct

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
IGNORED = 0x8000
Q_OVERFLOW = 0x4000
ISDIR = 0x40000000
_ONLYDIR = 0x1000000

READ_BYTES = 64 * 1024
_EVENT = struct.Struct("iIII")


class Inotify:
    """One instance: of these a user has 128 on the whole host. `mask` is what it tells of."""

    def __init__(self, mask):
        self._mask = mask
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def watch(self, dir_fd):
        """Watch a directory that is open; its number. Raises OSError (ENOSPC: too many)."""
        path = b"/proc/self/fd/%d/." % dir_fd
        return self._checked(self._libc.inotify_add_watch(self.fd, path, self._mask | _ONLYDIR))

    def forget(self, number):
        """Stop watching; it may have gone by itself."""
        self._libc.inotify_rm_watch(self.fd, number)

    def events(self):
        """(number, mask, cookie, name) of what has happened; nothing when nothing has."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, cookie, size = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            yield number, mask, cookie, data[at : at + size].rstrip(b"\0")
            at += size

    def close(self):
        os.close(self.fd)

    def _checked(self, result):
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
