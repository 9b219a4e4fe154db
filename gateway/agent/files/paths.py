"""Paths as the sandbox's user sees them: where they lead, and what is there."""

import base64
import errno
import os

HOME = b"/"
"""Where relative paths begin."""

LONGEST = 4096
"""Bytes of a path. The kernel takes one less at a time: longer ones are walked."""

WALKED = 3000

TEMPORARY = b".sgw-"
"""Begins the names of what is not there yet; lists and watches leave it out."""

_CODES = {
    errno.ENOENT: "path_not_found",
    errno.EISDIR: "is_directory",
    errno.ENOTDIR: "not_directory",
    errno.ENOTEMPTY: "not_empty",
    errno.EEXIST: "already_exists",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EROFS: "permission_denied",
    errno.EBUSY: "permission_denied",
    errno.ETXTBSY: "permission_denied",
    errno.ENAMETOOLONG: "bad_path",
    errno.EINVAL: "bad_path",
    errno.ELOOP: "bad_path",
    errno.EILSEQ: "bad_path",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.ENXIO: "not_a_file",
    errno.ENODEV: "not_a_file",
    errno.EAGAIN: "not_a_file",
    errno.EFBIG: "too_large",
}


class Refused(Exception):
    """An operation that cannot be carried out, with a code for the gateway."""

    def __init__(self, code, detail=""):
        super().__init__(detail)
        self.code = code


def code_of(error):
    """What an OSError is called."""
    return _CODES.get(error.errno, "failed")


def given(message, name="path"):
    """The path in a message, absolute. Raises Refused."""
    path = base64.b64decode(message[name])
    if not path or len(path) > LONGEST or b"\0" in path:
        raise Refused("bad_path", "a path has 1 to %d bytes, and none is zero" % LONGEST)
    return absolute(path)


def absolute(path):
    """From the root on, without needless parts. `..` is resolved as the kernel would."""
    if not path.startswith(b"/"):
        path = HOME + b"/" + path
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        last = len(parts) - 1 - parts[::-1].index(b"..")
        resolved = os.path.realpath(b"/" + b"/".join(parts[: last + 1]))
        parts = [part for part in resolved.split(b"/") if part] + parts[last + 1 :]
    return b"/" + b"/".join(parts)


class At:
    """A directory that is held open, or none, and what is to be found from there. Close it."""

    def __init__(self, path):
        self.dir_fd = None
        while len(path) >= LONGEST:
            cut = path.rfind(b"/", 1, WALKED)
            if cut < 0:
                self.close()
                raise OSError(errno.ENAMETOOLONG, "a part of the path is too long")
            try:
                found = os.open(
                    path[:cut], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.dir_fd
                )
            finally:
                self.close()
            self.dir_fd = found
            path = path[cut + 1 :]
        self.path = path

    def close(self):
        """May be repeated."""
        if self.dir_fd is not None:
            os.close(self.dir_fd)
            self.dir_fd = None

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


def opened(path, flags=0):
    """A descriptor of what is there (O_PATH): nothing is read, and no FIFO's writer wakes."""
    with At(path) as at:
        return os.open(at.path, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=at.dir_fd)


def opened_directory(path):
    """A descriptor of a directory that can be read."""
    with At(path) as at:
        return os.open(at.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at.dir_fd)


class Parent:
    """The directory in which something is or is to be: `fd`, the `name` in it, and the whole
    `path`. With `make`, missing directories are made; `undo` removes them again."""

    def __init__(self, path, make=False):
        self.path = path
        directory, _, self.name = path.rpartition(b"/")
        if not self.name:
            raise Refused("bad_path", "the root itself")
        self.made = []
        try:
            self.fd = opened(directory or b"/", os.O_DIRECTORY)
        except FileNotFoundError:
            if not make:
                raise
            self.fd = make_directories(directory, self.made)

    def stat(self):
        """Of what has the name, links not followed; None when there is nothing."""
        try:
            return os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def undo(self):
        """Remove the directories that were made, as far as nobody uses them."""
        for path in reversed(self.made):
            try:
                with At(path) as at:
                    os.rmdir(at.path, dir_fd=at.dir_fd)
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        os.close(self.fd)


def make_directories(path, made):
    """A descriptor of a directory; missing ones are made and noted in `made`."""
    parts = path.split(b"/")[1:]
    fd = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, part in enumerate(parts):
        try:
            try:
                os.mkdir(part, dir_fd=fd)
                made.append(b"/" + b"/".join(parts[: number + 1]))
            except FileExistsError:
                pass
            except OSError as error:
                # Not to be made there, which matters only if it is missing.
                try:
                    os.stat(part, dir_fd=fd)
                except FileNotFoundError:
                    raise error from None
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def followed(path):
    """Where a path leads when its last part is a link: the file that is read and written there.

    Raises Refused for a loop. What the link leads to need not exist.
    """
    for _ in range(40):
        try:
            with At(path) as at:
                target = os.readlink(at.path, dir_fd=at.dir_fd)
        except OSError:
            return path
        directory = path.rpartition(b"/")[0]
        path = absolute(target if target.startswith(b"/") else directory + b"/" + target)
    raise Refused("bad_path", "a loop of links")
