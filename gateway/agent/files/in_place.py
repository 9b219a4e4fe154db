"""Write into a file as it is: who watches sees it made, given to its user, and written.

Who reads it meanwhile sees a part, and what breaks off leaves a part: unlike `writing`.
"""

import os
import stat

from gateway.protocol import frames

from . import details, paths, writing


class Target:
    """A file that is open and empty. Close it."""

    def __init__(self, parent, metadata):
        self._parent = parent
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            self.fd = os.open(parent.name, flags, 0o644, dir_fd=parent.fd)
            self.is_new = True
        except FileExistsError:
            self.fd = self._opened()
            self.is_new = False
        try:
            self._prepare(metadata)
        except BaseException:
            os.close(self.fd)
            if self.is_new:
                os.unlink(parent.name, dir_fd=parent.fd)
            raise

    def _opened(self):
        """It is looked at first: opening a FIFO or a device may block, or do something."""
        found = self._parent.stat()
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise paths.Refused("is_directory", "it is a directory")
        if found is None or not stat.S_ISREG(found.st_mode):
            raise paths.Refused("not_a_file", "it is a FIFO, a device or a socket, or went")
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self._parent.name, flags, dir_fd=self._parent.fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise paths.Refused("not_a_file", "it is a FIFO, a device or a socket")
        return fd

    def _prepare(self, metadata):
        details.set_metadata(self.fd, metadata)
        if not self.is_new:
            os.ftruncate(self.fd, 0)
        # Nothing changes by this, but clients of E2B wait for the event that it makes.
        found = os.fstat(self.fd)
        try:
            os.fchown(self.fd, found.st_uid, found.st_gid)
        except PermissionError:
            pass  # another's, which can be written to

    def write(self, data):
        """All of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        os.close(self.fd)


def overwrite(channel, message):
    """`overwrite`: the content is the body or, with `stream`, comes on stream 0 after a `go`.
    `metadata` becomes all that the file has."""
    path = paths.followed(paths.given(message))
    inline = None if message.get("stream") else message.get(frames.BODY, b"")
    made, is_new = _store(channel, path, message, inline)
    channel.tell(event="done", stat=made, new=is_new)


def overwrite_many(channel, message):
    """`overwrite_many`: several small files one after the other: `files` are [path, size], and the
    body is all of them."""
    body, at, done = message.get(frames.BODY, b""), 0, []
    for path, size in message["files"]:
        path = paths.followed(paths.given({"path": path}))
        done.append(_store(channel, path, message, body[at : at + size])[0])
        at += size
    channel.tell(event="done", stats=done)


def _store(channel, path, message, inline):
    """Write one file; (its record, whether there was none)."""
    with paths.Parent(path, make=True) as parent:
        try:
            target = Target(parent, message.get("metadata") or {})
        except BaseException:
            parent.undo()
            raise
        with target:
            if inline is None:
                writing.receive(channel, target, message.get("size") or 0)
            else:
                target.write(inline)
            found = os.fstat(target.fd)
            made = details.record(path, found, parent.fd, parent.name)
            return made, target.is_new
