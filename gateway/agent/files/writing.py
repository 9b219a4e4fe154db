"""Write a file as a whole: who reads it meanwhile sees the old one or the new one."""

import errno
import os
import stat
import threading

from gateway.protocol import frames

from . import bulk, paths, records

WINDOW_BYTES = 4 * 1024 * 1024
WINDOW_FRAMES = 64
"""What may be on the way of an upload."""

_COMMITS = [threading.Lock() for _ in range(64)]
"""Of two writers of one name, one looks and replaces before the other looks."""


class Unfinished:
    """A file that has no name yet. `token` makes one for it where the file system needs that."""

    def __init__(self, parent, token):
        self._parent = parent
        self._name = paths.TEMPORARY + token.encode("ascii")
        self._named = False
        try:
            place = "/proc/self/fd/%d" % parent.fd
            self.fd = os.open(place, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            self.fd = os.open(self._name, flags, 0o600, dir_fd=parent.fd)
            self._named = True

    def write(self, data):
        """All of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def put(self, replacing):
        """Give it its name: in the place of what has it, or, not `replacing`, only if nobody has.
        Raises FileExistsError."""
        if not replacing:
            if self._named:
                os.link(
                    self._name,
                    self._parent.name,
                    src_dir_fd=self._parent.fd,
                    dst_dir_fd=self._parent.fd,
                )
                return
            self._link(self._parent.name)
            return
        if not self._named:
            self._link(self._name)
            self._named = True
        os.rename(
            self._name,
            self._parent.name,
            src_dir_fd=self._parent.fd,
            dst_dir_fd=self._parent.fd,
        )
        self._named = False

    def _link(self, name):
        os.link(
            "/proc/self/fd/%d" % self.fd, name, dst_dir_fd=self._parent.fd, follow_symlinks=True
        )

    def close(self):
        """Nothing stays that was not put. May be repeated."""
        if self._named:
            self._named = False
            try:
                os.unlink(self._name, dir_fd=self._parent.fd)
            except OSError:
                pass  # somebody was first
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def write(channel, message):
    """`write`: the content is the body or, with `stream`, comes on stream 0 after a `go`."""
    path = paths.followed(paths.given(message))
    inline = None if message.get("stream") else message.get(frames.BODY, b"")
    found, is_new = store(channel, path, message, inline)
    channel.tell(event="done", stat=records.record(path, found), new=is_new)


def store(channel, path, message, inline):
    """Write one file; (its stat, whether there was none)."""
    with paths.Parent(path, make=True) as parent:
        try:
            check(parent.stat(), message)
            _check_writable(parent)
            unfinished = Unfinished(parent, message["token"])
            try:
                if inline is None:
                    receive(channel, unfinished, message.get("size") or 0)
                else:
                    unfinished.write(inline)
                return _commit(parent, unfinished, message)
            finally:
                unfinished.close()
        except BaseException:
            parent.undo()
            raise


def write_many(channel, message):
    """`write_many`: several small files one after the other: `files` are [path, size], and the
    body is all of them."""
    body, at, done = message.get(frames.BODY, b""), 0, []
    for path, size in message["files"]:
        path = paths.followed(paths.given({"path": path}))
        found, _ = store(channel, path, message, body[at : at + size])
        done.append(records.record(path, found))
        at += size
    channel.tell(event="done", stats=done)


def receive(channel, unfinished, expected):
    """Write what comes on stream 0 after a `go`, or another way. `expected` bytes, 0: who knows."""
    if expected <= bulk.FROM_BYTES:
        channel.tell(event="go")
        _receive_pieces(channel, unfinished)
    else:
        with bulk.Offer(unfinished.fd, None, channel) as offer:
            channel.tell(event="go", bulk=offer.token)
            _receive_pieces(channel, unfinished)


def _receive_pieces(channel, unfinished):
    channel.grant(WINDOW_BYTES, WINDOW_FRAMES)
    size = count = 0
    while True:
        piece = channel.receive()
        if not piece:
            return
        unfinished.write(piece)
        size, count = size + len(piece), count + 1
        if size >= WINDOW_BYTES // 4 or count >= WINDOW_FRAMES // 4:
            channel.grant(size, count)
            size = count = 0


def check(found, message):
    """Whether what is there may be replaced. Raises Refused."""
    only_if = message.get("only_if")
    if only_if is not None:
        if found is None:
            raise paths.Refused("changed", "there is no such file")
        if only_if != "*" and records.etag_of(found) not in only_if:
            raise paths.Refused("changed", "it has another ETag")
    unless = message.get("unless")
    if found is not None and unless is not None:
        fits = unless != "*" and records.etag_of(found) not in unless
        if not fits:
            raise paths.Refused("changed", "it is there")
    if found is not None:
        if stat.S_ISDIR(found.st_mode):
            raise paths.Refused("is_directory", "it is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise paths.Refused("not_a_file", "it is a FIFO, a device or a socket")


def _check_writable(parent):
    """Who may not write a file may not replace it either, though the directory would allow it."""
    found = parent.stat()
    if found is None:
        return
    if not os.access(parent.name, os.W_OK, dir_fd=parent.fd):
        raise paths.Refused("permission_denied", "the file is not yours to write")
    if found.st_uid != os.geteuid() and os.geteuid():
        raise paths.Refused("permission_denied", "the file would get another owner")


def _commit(parent, unfinished, message):
    mode = message.get("mode")
    key = (os.fstat(parent.fd).st_ino, parent.name)
    with _COMMITS[hash(key) % len(_COMMITS)]:
        while True:
            found = parent.stat()
            check(found, message)
            if found is None:
                os.fchmod(unfinished.fd, 0o644 if mode is None else mode)
            else:
                _become_like(unfinished.fd, found, mode)
            try:
                unfinished.put(replacing=found is not None)
            except FileExistsError:
                continue  # a process of the sandbox was first
            return os.fstat(unfinished.fd), found is None


def _become_like(fd, found, mode):
    """Owner and mode of what is replaced, but for bits that writing takes away too."""
    own = os.fstat(fd)
    if (own.st_uid, own.st_gid) != (found.st_uid, found.st_gid):
        try:
            os.fchown(fd, found.st_uid, found.st_gid)
        except OSError:
            if own.st_uid != found.st_uid:
                raise
    os.fchmod(fd, stat.S_IMODE(found.st_mode) & 0o1777 if mode is None else mode)
