"""Directories with all that is in them, by descriptor: nobody can swap a part for a link."""

import contextlib
import errno
import os
import stat
import time

from . import paths

TELL_S = 2.0
"""How often the gateway learns that something still goes on."""

PIECE_BYTES = 1024 * 1024

TRIES = 20
"""To delete what others delete as well."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Progress:
    """Tells the gateway from time to time that this goes on, and sees whether it is still wanted.
    Without a channel it does neither."""

    def __init__(self, channel):
        self._channel = channel
        self._told = time.monotonic()

    def step(self):
        """Something was done. Raises Closed."""
        if self._channel is None:
            return
        self._channel.check()
        now = time.monotonic()
        if now - self._told > TELL_S:
            self._told = now
            self._channel.tell(event="progress")


class Walk:
    """Down and up again in a tree of any depth, with one descriptor."""

    def __init__(self, dir_fd, name):
        self.fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
        self._above = []

    def down(self, name):
        below = os.open(name, _DIRECTORY, dir_fd=self.fd)
        found = os.fstat(self.fd)
        self._above.append((found.st_dev, found.st_ino))
        os.close(self.fd)
        self.fd = below

    def up(self):
        """Raises OSError when somebody has moved the directory meanwhile."""
        above = os.open("..", _DIRECTORY, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = above
        found = os.fstat(above)
        if (found.st_dev, found.st_ino) != self._above.pop():
            raise OSError(errno.EBUSY, "it was moved meanwhile")

    def close(self):
        os.close(self.fd)


def remove(dir_fd, name, progress):
    """Whatever it is, with all that is in it. Raises FileNotFoundError when there is nothing;
    whoever else deletes it at the same time does no harm."""
    os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    for _ in range(TRIES):
        try:
            _remove(dir_fd, name, progress)
            return
        except FileNotFoundError:
            # A directory went while the walk was in it, and there is no way up from there.
            try:
                os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            except FileNotFoundError:
                return
    raise OSError(errno.EBUSY, "it changes all the time")


def _remove(dir_fd, name, progress):
    try:
        walk = Walk(dir_fd, name)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=dir_fd)
        return
    try:
        todo = [_content(walk.fd)]
        names = []
        while todo:
            if not todo[-1]:
                todo.pop()
                if todo:
                    walk.up()
                    with contextlib.suppress(FileNotFoundError):
                        os.rmdir(names.pop(), dir_fd=walk.fd)
                continue
            progress.step()
            entry, is_directory = todo[-1].pop()
            if is_directory:
                walk.down(entry)
                names.append(entry)
                todo.append(_content(walk.fd))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry, dir_fd=walk.fd)
    finally:
        walk.close()
    os.rmdir(name, dir_fd=dir_fd)


def _content(fd):
    with os.scandir(fd) as entries:
        return [(os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in entries]


def sorted_content(fd):
    """(name, whether it is a directory) of all that is in a directory, last first."""
    return sorted(_content(fd), reverse=True)


def copy(from_fd, from_name, to_fd, to_name, progress):
    """Whatever it is, with all that is in it, to a name that is free. Sockets are left out."""
    found = os.stat(from_name, dir_fd=from_fd, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        copy_one(from_fd, from_name, found, to_fd, to_name, progress)
        return
    os.mkdir(to_name, 0o700, dir_fd=to_fd)
    source = Walk(from_fd, from_name)
    target = Walk(to_fd, to_name)
    try:
        todo = [(_content(source.fd), found)]
        while todo:
            entries, directory = todo[-1]
            if not entries:
                os.utime(target.fd, ns=(directory.st_atime_ns, directory.st_mtime_ns))
                os.fchmod(target.fd, stat.S_IMODE(directory.st_mode) & 0o1777)
                todo.pop()
                if todo:
                    source.up()
                    target.up()
                continue
            progress.step()
            name, is_directory = entries.pop()
            below = os.stat(name, dir_fd=source.fd, follow_symlinks=False)
            if is_directory and stat.S_ISDIR(below.st_mode):
                os.mkdir(name, 0o700, dir_fd=target.fd)
                source.down(name)
                target.down(name)
                todo.append((_content(source.fd), below))
            else:
                copy_one(source.fd, name, below, target.fd, name, progress)
    finally:
        source.close()
        target.close()


def copy_one(from_fd, from_name, found, to_fd, to_name, progress):
    """What is no directory."""
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(from_name, dir_fd=from_fd), to_name, dir_fd=to_fd)
    elif stat.S_ISREG(found.st_mode):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        fd = os.open(to_name, flags, 0o600, dir_fd=to_fd)
        try:
            copy_content(from_fd, from_name, fd, progress)
        finally:
            os.close(fd)
    elif stat.S_ISFIFO(found.st_mode):
        os.mkfifo(to_name, stat.S_IMODE(found.st_mode), dir_fd=to_fd)
    elif not stat.S_ISSOCK(found.st_mode):
        raise paths.Refused("not_a_file", "it is a device")


def copy_content(from_fd, from_name, to, progress):
    """Bytes, mode and time of a regular file, to a descriptor."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    source = os.open(from_name, flags, dir_fd=from_fd)
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise paths.Refused("not_a_file", "it is a FIFO, a device or a socket")
        while True:
            progress.step()
            piece = os.read(source, PIECE_BYTES)
            if not piece:
                break
            while piece:
                piece = piece[os.write(to, piece) :]
        os.fchmod(to, stat.S_IMODE(found.st_mode) & 0o1777)
        os.utime(to, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(source)


_NO_REPLACE = 1


def rename_to_nothing(from_fd, from_name, to_fd, to_name):
    """Rename, but never over something (renameat2(2)). Raises FileExistsError."""
    try:
        import ctypes

        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, AttributeError, OSError):
        renameat2 = None
    if renameat2 is not None:
        if not renameat2(from_fd, from_name, to_fd, to_name, _NO_REPLACE):
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number))
    try:
        os.stat(to_name, dir_fd=to_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)
        return
    raise FileExistsError(errno.EEXIST, "it exists")
