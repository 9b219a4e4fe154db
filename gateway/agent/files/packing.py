"""A directory as a tar archive, made while it is sent."""

import errno
import os
import stat

from . import paths, tar_format, trees
from .tar_format import Member

PIECE_BYTES = 256 * 1024
LEVEL = 3
"""Of gzip: half the size of none for most of what there is, at three times the speed of 6."""

_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
"""Something has gone, or another thing has its name: a link, say, which is never followed."""

TRIES = 5
"""What changes all the time is left out, as what has gone is."""


def pack(channel, message):
    """`pack`: the archive on stream 1; with `gzip`, packed. Special files are left out."""
    path = paths.given(message)
    os.close(paths.opened_directory(path))
    with paths.At(path) as at:
        walk = trees.Walk(at.dir_fd, at.path)
    try:
        channel.tell(event="archive")
        out = _Out(channel, message.get("gzip"))
        _walk(walk, out)
        out.write(b"\0" * 2 * tar_format.BLOCK)
        out.end()
    finally:
        walk.close()


class _Out:
    """Small pieces together, packed if that is wanted."""

    def __init__(self, channel, gzip):
        self._channel = channel
        self._held = bytearray()
        self._packer = None
        if gzip:
            import zlib

            self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)

    def write(self, data):
        if self._packer is not None:
            data = self._packer.compress(data)
        self._held += data
        if len(self._held) >= PIECE_BYTES:
            self._flush()

    def end(self):
        if self._packer is not None:
            self._held += self._packer.flush()
        self._flush()
        self._channel.send(b"", end=True)

    def _flush(self):
        held, self._held = self._held, bytearray()
        self._channel.send(held)


def _walk(walk, out):
    todo = [(b"", trees.sorted_content(walk.fd))]
    while todo:
        prefix, entries = todo[-1]
        if not entries:
            todo.pop()
            if todo:
                walk.up()
            continue
        name, _ = entries.pop()
        if name.startswith(paths.TEMPORARY):
            continue
        for _ in range(TRIES):
            try:
                if _entry(walk, name, prefix + name, out):
                    todo.append((prefix + name + b"/", trees.sorted_content(walk.fd)))
                break
            except OSError as error:
                if error.errno not in _CHANGED:
                    raise


def _entry(walk, name, whole, out):
    """Pack it; whether it is a directory, in which the walk is then. Nothing is written when it
    is not any more what it was a moment ago: then the error is one of _CHANGED."""
    found = os.stat(name, dir_fd=walk.fd, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        walk.down(name)
        out.write(_header(whole + b"/", tar_format.DIRECTORY, os.fstat(walk.fd)))
        return True
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(name, dir_fd=walk.fd)
        out.write(_header(whole, tar_format.SYMLINK, found, target))
    elif stat.S_ISREG(found.st_mode):
        _file(walk.fd, name, whole, out)
    return False


def _header(name, kind, found, target=b"", size=0):
    member = Member(name, kind, size, stat.S_IMODE(found.st_mode), found.st_mtime, target)
    return tar_format.header(member, found.st_uid, found.st_gid)


def _file(dir_fd, name, whole, out):
    """As long as it was when it was opened: what it loses meanwhile is filled with zeros."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return
        size = found.st_size
        out.write(_header(whole, tar_format.FILE, found, size=size))
        left = size
        while left:
            piece = os.read(fd, min(left, PIECE_BYTES)) or b"\0" * min(left, PIECE_BYTES)
            out.write(piece)
            left -= len(piece)
        out.write(tar_format.padding(size))
    finally:
        os.close(fd)
